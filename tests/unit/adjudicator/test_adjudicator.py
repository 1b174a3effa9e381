from __future__ import annotations

import pytest

from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits, WindowLimits
from borealis.foundation.errors import InvariantViolation, Malformed, Reason
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, CatalogVersion, Position, Timestamp
from borealis.wire.commit_messages import Answer, Committed, OutcomeUnknown, Refused, SequenceGrant
from borealis.wire.journal_batch import (
    JournalRecord,
    RecordKind,
    decode_checkpoint,
    decode_reservations,
    encode_checkpoint,
)
from simulation.reference import ReferenceAdjudicator
from tests.unit.adjudicator.driving import (
    LEASE,
    AnyAdjudicator,
    Driver,
    Make,
    Start,
    ask,
    call_next,
    records_of,
    transaction,
    transaction_id,
)


def reason_of(answer: Answer) -> Reason:
    assert isinstance(answer, Refused), answer
    return answer.reason


def committed(answer: Answer) -> Committed:
    assert isinstance(answer, Committed), answer
    return answer


# Timestamps


def test_commit_timestamps_rise_even_when_the_clock_does_not(start: Start) -> None:
    driver = start()
    first = committed(driver.run_one(transaction(1, LEASE, insert="a")))
    driver.now = Timestamp(5)
    second = committed(driver.run_one(transaction(2, driver.acknowledged, insert="b")))
    driver.now = Timestamp(2 * LEASE)
    third = committed(driver.run_one(transaction(3, driver.acknowledged, insert="c")))
    assert LEASE < first.timestamp < second.timestamp < third.timestamp == 2 * LEASE


def test_what_is_published_is_the_last_commit(start: Start) -> None:
    driver = start()
    answers = driver.run(*[transaction(number, LEASE, insert=[str(number)]) for number in range(5)])
    assert driver.acknowledged == committed(answers[-1]).timestamp


def test_a_read_timestamp_in_the_future_is_malformed(start: Start) -> None:
    driver = start()
    assert reason_of(driver.run_one(transaction(1, LEASE + 1, insert="a"))) is Reason.MALFORMED
    assert reason_of(driver.run_one(ask(1, LEASE + 1))) is Reason.MALFORMED


# Conflicts


def test_the_first_committer_wins(start: Start) -> None:
    driver = start()
    committed(driver.run_one(transaction(1, LEASE, update="ab")))
    assert reason_of(driver.run_one(transaction(2, LEASE, update="bc"))) is Reason.DATA_CONFLICT
    committed(driver.run_one(transaction(3, driver.acknowledged, update="bc")))


def test_the_first_committer_wins_within_a_group_too(start: Start) -> None:
    driver = start()
    first, second, third = driver.run(
        transaction(1, LEASE, insert="a"), transaction(2, LEASE, insert="a"), transaction(3, LEASE, insert="b")
    )
    committed(first)
    assert reason_of(second) is Reason.DATA_CONFLICT
    committed(third)


def test_a_transaction_of_locks_alone_conflicts_with_those_before_it_and_not_with_those_after_it(start: Start) -> None:
    driver = start()
    committed(driver.run_one(transaction(1, LEASE, locks=[(4, "a")])))
    assert reason_of(driver.run_one(transaction(2, LEASE, update="a"))) is Reason.DATA_CONFLICT
    committed(driver.run_one(transaction(3, driver.acknowledged, update="a")))


def test_a_decision_that_is_not_confirmed_never_happened() -> None:
    driver = Driver(ReferenceAdjudicator())
    before = driver.adjudicator.published
    lost = driver.decide(
        transaction(1, LEASE, insert="a", entry=b"ddl"), call_next(5), transaction(2, LEASE, insert="b", schema=1)
    )
    assert len(records_of(lost)) == 3
    assert driver.adjudicator.published == before
    answers = driver.run(transaction(3, LEASE, insert="ab"), call_next(5), ask(1, LEASE))
    assert committed(answers[0]).catalog_version == 0
    assert answers[1] == SequenceGrant(1, 5, True)
    assert reason_of(answers[2]) is Reason.FORGOTTEN


# Schema and catalog


def test_a_catalog_entry_refuses_those_that_began_under_another_schema(start: Start) -> None:
    driver = start()
    answers = driver.run(
        transaction(1, LEASE, entry=b"ddl"),
        transaction(2, LEASE, insert="a"),
        transaction(3, LEASE, insert="b", schema=1),
    )
    assert committed(answers[0]).catalog_version == 1
    assert reason_of(answers[1]) is Reason.SCHEMA_CONFLICT
    assert committed(answers[2]).catalog_version == 1
    assert driver.adjudicator.published.schema_version == 1


def test_a_catalog_entry_must_follow_the_newest(start: Start) -> None:
    driver = start()
    driver.run(transaction(1, LEASE, entry=b"ddl"))
    assert reason_of(driver.run_one(transaction(2, LEASE, entry=b"ddl", schema=1))) is Reason.SCHEMA_CONFLICT
    committed(driver.run_one(transaction(3, LEASE, entry=b"ddl", schema=1, follows=1)))


def test_statistics_do_not_invalidate_running_transactions(start: Start) -> None:
    driver = start()
    driver.run(transaction(1, LEASE, entry=b"analyze", invalidates=False))
    assert driver.adjudicator.published.catalog_version == 1
    assert driver.adjudicator.published.schema_version == 0
    committed(driver.run_one(transaction(2, LEASE, insert="a")))
    driver.run(transaction(3, LEASE, entry=b"ddl", follows=1))
    assert driver.adjudicator.published.schema_version == 2


# Age


def test_what_began_before_the_lease_is_refused(start: Start) -> None:
    driver = start()
    assert reason_of(driver.run_one(transaction(1, LEASE - 1, insert="a"))) is Reason.FORGOTTEN


def test_an_old_transaction_is_refused_and_a_young_one_on_a_quiet_cluster_is_not(start: Start) -> None:
    """The read timestamp of both is an hour old; but only one of them can have begun an hour ago."""
    driver = start()
    first = committed(driver.run_one(transaction(1, LEASE, insert="a")))
    driver.now = Timestamp(LEASE + 2 * NANOSECONDS_PER_SECOND)
    second = committed(driver.run_one(transaction(2, first.timestamp, insert="b")))
    driver.now = Timestamp(LEASE + 3600 * NANOSECONDS_PER_SECOND)
    assert reason_of(driver.run_one(transaction(3, first.timestamp, insert="c"))) is Reason.TOO_OLD
    committed(driver.run_one(transaction(4, second.timestamp, insert="d")))


def test_age_is_counted_to_the_second(start: Start) -> None:
    driver = start(limits=AdjudicatorLimits(transaction_age_ns_max=10 * NANOSECONDS_PER_SECOND))
    answers = []
    for second in range(1, 31):
        driver.now = Timestamp(LEASE + second * NANOSECONDS_PER_SECOND)
        answers.append(committed(driver.run_one(transaction(second, driver.acknowledged, insert=[str(second)]))))
    verdicts = [driver.run_one(transaction(100 + number, each.timestamp)) for number, each in enumerate(answers)]
    refused = sum(isinstance(verdict, Refused) for verdict in verdicts)
    assert 18 <= refused <= 20
    assert all(isinstance(verdict, Refused) for verdict in verdicts[:refused])


def test_conflicts_are_remembered_for_the_oldest_reader_and_forgotten_after_it(start: Start) -> None:
    driver = start(limits=AdjudicatorLimits(WindowLimits(generation_span_ns_max=1)))
    timestamps = []
    for number in range(10):
        driver.now = Timestamp(driver.now + 100)
        timestamps.append(committed(driver.run_one(transaction(number, driver.acknowledged, update="a"))).timestamp)
    driver.adjudicator.forget(driver.now, timestamps[4])
    assert reason_of(driver.run_one(transaction(20, timestamps[2], insert="z"))) is Reason.FORGOTTEN
    assert reason_of(driver.run_one(transaction(21, timestamps[4], update="a"))) is Reason.DATA_CONFLICT
    driver.adjudicator.forget(driver.now, driver.acknowledged)
    assert driver.adjudicator.window_bytes == 0
    committed(driver.run_one(transaction(22, driver.acknowledged, update="a")))


# Outcomes


def test_an_outcome_that_is_known_is_told(start: Start) -> None:
    driver = start()
    answer = driver.run_one(transaction(1, LEASE, insert="a"))
    assert driver.run_one(ask(1, LEASE)) == answer


def test_asking_fences(start: Start) -> None:
    driver = start()
    assert reason_of(driver.run_one(ask(1, LEASE))) is Reason.FORGOTTEN
    assert reason_of(driver.run_one(transaction(1, LEASE, insert="a"))) is Reason.FORGOTTEN
    assert reason_of(driver.run_one(ask(1, LEASE))) is Reason.FORGOTTEN


def test_asking_and_committing_in_one_group_keep_their_order(start: Start) -> None:
    driver = start()
    answers = driver.run(
        transaction(1, LEASE, insert="a"), ask(1, LEASE), ask(2, LEASE), transaction(2, LEASE, insert="b")
    )
    assert answers[1] == committed(answers[0])
    assert reason_of(answers[2]) is Reason.FORGOTTEN
    assert reason_of(answers[3]) is Reason.FORGOTTEN


def test_a_commit_that_comes_twice_is_answered_twice_and_happens_once(start: Start) -> None:
    driver = start()
    record = transaction(1, LEASE, insert="a")
    decision = driver.decide(record, transaction(2, LEASE, entry=b"ddl"), record)
    assert len(records_of(decision)) == 2
    driver.confirm(decision)
    assert decision.answers[0] == decision.answers[2] == driver.run_one(record)


def test_an_outcome_from_before_the_memory_is_unknown(start: Start) -> None:
    driver = start(limits=AdjudicatorLimits(outcomes=OutcomeLimits(age_ns_max=1000)))
    driver.run(transaction(1, LEASE, insert="a"))
    for number in range(2, 30):
        driver.now = Timestamp(driver.now + 500)
        driver.run(transaction(number, driver.acknowledged, insert=[str(number)]))
    assert driver.run_one(ask(1, LEASE)) == OutcomeUnknown()


def test_what_is_given_up_is_fenced_as_long_as_there_is_room(start: Start) -> None:
    driver = start(limits=AdjudicatorLimits(outcomes=OutcomeLimits(fences_max=1)))
    refusal = Refused(Reason.DISK_FULL, "full")
    assert driver.adjudicator.give_up(transaction(1, LEASE, insert="a"), refusal) == refusal
    assert driver.adjudicator.give_up(transaction(2, LEASE, insert="a"), refusal) == OutcomeUnknown()
    assert reason_of(driver.run_one(transaction(1, LEASE, insert="a"))) is Reason.FORGOTTEN


# Sequences


def test_sequence_calls_of_a_group_see_each_other_and_share_a_record(start: Start) -> None:
    driver = start()
    decision = driver.decide(call_next(5), call_next(5), call_next(5, relfilenode=8), transaction(1, LEASE, insert="a"))
    records = records_of(decision)
    driver.confirm(decision)
    assert decision.answers[:3] == [SequenceGrant(1, 5, True), SequenceGrant(6, 5, True), SequenceGrant(1, 5, True)]
    assert [record.kind for record in records] == [RecordKind.TRANSACTION, RecordKind.SEQUENCES]
    reserved = {each.relfilenode: each.reserved_up_to for each in decode_reservations(records[1].payload)}
    assert set(reserved) == {7, 8}
    assert reserved[7] >= 10
    assert records[1].timestamp == records[0].timestamp


def test_values_within_a_reservation_need_no_journal(start: Start) -> None:
    driver = start()
    driver.run(call_next(1))
    decision = driver.decide(call_next(1))
    assert not decision.has_records


def test_a_dropped_relation_takes_its_sequence_along(start: Start) -> None:
    driver = start()
    driver.run(call_next(5))
    driver.run(transaction(1, LEASE, entry=b"drop", dropped=[7]))
    assert driver.run_one(call_next(1)) == SequenceGrant(1, 1, True)


# Recovery


def replayed(make: Make, records: list[JournalRecord]) -> AnyAdjudicator:
    adjudicator = make()
    adjudicator.replay(JournalRecord(RecordKind.EPOCH, LEASE, CatalogVersion(0), b""))
    for record in records:
        adjudicator.replay(record)
    return adjudicator


def history(driver: Driver) -> list[JournalRecord]:
    records = []
    for requests in (
        [transaction(1, LEASE, insert="a", entry=b"ddl", follows=0), call_next(3)],
        [
            transaction(2, LEASE, insert="b", schema=1),
            transaction(3, LEASE, entry=b"analyze", follows=1, schema=1, invalidates=False),
        ],
        [call_next(40, relfilenode=9), transaction(4, LEASE, schema=1, entry=b"drop", follows=2, dropped=[7])],
    ):
        decision = driver.decide(*requests)
        records += records_of(decision)
        driver.confirm(decision)
        assert not any(isinstance(answer, Refused) for answer in decision.answers)
    return records


def test_recovery_knows_versions_outcomes_and_sequences(start: Start, make: Make) -> None:
    driver = start()
    again = replayed(make, history(driver))
    assert again.published == driver.adjudicator.published
    assert again.published.catalog_version == 3
    live, restored = driver.adjudicator.checkpoint(Position(5)), again.checkpoint(Position(5))
    assert restored == live
    assert decode_checkpoint(encode_checkpoint(restored)) == live
    second_life = Driver(again)
    assert committed(second_life.run_one(ask(2, LEASE))).catalog_version == 1
    assert committed(second_life.run_one(ask(3, LEASE))).catalog_version == 2
    assert reason_of(second_life.run_one(ask(99, LEASE))) is Reason.FORGOTTEN
    assert reason_of(second_life.run_one(transaction(5, driver.acknowledged, insert="q", schema=3))) is Reason.FORGOTTEN
    first = second_life.run_one(call_next(1, relfilenode=9))
    assert isinstance(first, SequenceGrant)
    assert first.first > 40
    assert second_life.run_one(call_next(1, relfilenode=7)) == SequenceGrant(1, 1, True)


def test_a_checkpoint_stands_for_everything_before_it(start: Start, make: Make) -> None:
    driver = start()
    history(driver)
    checkpoint = driver.adjudicator.checkpoint(Position(5))
    again = make(checkpoint)
    assert again.checkpoint(Position(5)) == checkpoint
    assert again.outcomes_since == checkpoint.last_timestamp
    assert Driver(again).run_one(ask(2, LEASE)) == OutcomeUnknown()


def test_a_journal_that_contradicts_itself_is_refused(start: Start, make: Make) -> None:
    adjudicator = replayed(make, history(start()))
    last = adjudicator.published
    with pytest.raises(Malformed):
        adjudicator.replay(JournalRecord(RecordKind.EPOCH, Timestamp(last.acknowledged - 1), last.catalog_version, b""))
    wrong = adjudicator.checkpoint(Position(0))._replace(transactions=77)
    with pytest.raises(Malformed):
        adjudicator.replay(
            JournalRecord(RecordKind.CHECKPOINT, last.acknowledged, last.catalog_version, encode_checkpoint(wrong))
        )
    with pytest.raises(Malformed):
        adjudicator.replay(JournalRecord(9, last.acknowledged, last.catalog_version, b""))


def test_nothing_is_decided_without_a_lease(make: Make) -> None:
    with pytest.raises(InvariantViolation):
        make().decide(LEASE, [ask(1, 1)])


def test_an_unknown_transaction_is_never_confused_with_another(start: Start) -> None:
    driver = start()
    driver.run(transaction(1, LEASE, insert="a"))
    assert transaction_id(1) != transaction_id(2)
    assert reason_of(driver.run_one(ask(2, LEASE))) is Reason.FORGOTTEN

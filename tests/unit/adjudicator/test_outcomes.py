from __future__ import annotations

from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits, WindowLimits
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import CatalogVersion, Timestamp
from borealis.wire.commit_messages import Answer, Committed, OutcomeUnknown, Refused
from tests.unit.adjudicator.driving import LEASE, Driver, Start, ask, transaction


def limits(**bounds: int) -> AdjudicatorLimits:
    return AdjudicatorLimits(outcomes=OutcomeLimits(**bounds))


def commit(driver: Driver, number: int, entry: bytes = b"") -> None:
    """One commit at LEASE + number; it read at the one before."""
    driver.now = Timestamp(LEASE + number)
    follows = driver.adjudicator.published.catalog_version if entry else 0
    read = driver.acknowledged
    answer = driver.run_one(transaction(number, read, entry=entry, follows=follows, invalidates=False))
    assert isinstance(answer, Committed)
    assert answer.timestamp == LEASE + number


def outcomes(driver: Driver, count: int) -> list[Answer]:
    return [driver.run_one(ask(number, LEASE + number - 1)) for number in range(1, count + 1)]


def test_a_commit_is_found_with_its_timestamp(start: Start) -> None:
    driver = start()
    commit(driver, 5)
    assert driver.run_one(ask(5, LEASE)) == Committed(Timestamp(LEASE + 5), CatalogVersion(0))
    assert isinstance(driver.run_one(ask(6, LEASE)), Refused)


def test_an_id_that_is_used_again_has_the_outcome_of_whoever_read_before(start: Start) -> None:
    """Commits come after reads: one before a read is not its own."""
    driver = start()
    commit(driver, 5)
    read = driver.acknowledged
    other, again = driver.run(transaction(6, read, insert="a"), transaction(5, read, insert="b"))
    assert isinstance(other, Committed)
    assert isinstance(again, Committed)
    assert again.timestamp == other.timestamp + 1
    assert driver.run_one(ask(5, read)) == again


def test_age_is_bounded_and_everything_since_is_there(start: Start) -> None:
    driver = start(limits=limits(age_ns_max=100))
    for number in range(1, 1001):
        commit(driver, number)
    since = driver.adjudicator.outcomes_since - LEASE
    assert 800 < since < 1000
    for number, answer in enumerate(outcomes(driver, 1000), start=1):
        assert isinstance(answer, Committed if number > since else OutcomeUnknown)


def test_number_is_bounded(start: Start) -> None:
    driver = start(limits=limits(outcomes_max=100))
    for number in range(1, 1001):
        commit(driver, number)
    assert 50 <= sum(isinstance(answer, Committed) for answer in outcomes(driver, 1000)) <= 115


def test_each_commit_has_the_catalog_version_of_its_time(start: Start) -> None:
    driver = start(limits=limits(age_ns_max=80))
    for number in range(1, 201):
        commit(driver, number, b"entry" if number % 10 == 0 else b"")
    since = driver.adjudicator.outcomes_since - LEASE
    for number, answer in list(enumerate(outcomes(driver, 200), start=1))[since:]:
        assert answer == Committed(Timestamp(LEASE + number), CatalogVersion(number // 10))


def test_fences_are_bounded_and_dropped_once_they_are_not_needed(start: Start) -> None:
    driver = start(limits=AdjudicatorLimits(WindowLimits(generation_span_ns_max=0), OutcomeLimits(fences_max=2)))
    assert isinstance(driver.run_one(ask(101, LEASE)), Refused)
    commit(driver, 1)
    read = driver.acknowledged
    assert isinstance(driver.run_one(ask(102, read)), Refused)
    assert isinstance(driver.run_one(ask(103, read)), OutcomeUnknown)
    assert isinstance(driver.run_one(ask(101, LEASE)), Refused)
    driver.adjudicator.forget(driver.now, read)
    assert isinstance(driver.run_one(ask(103, read)), Refused)
    assert isinstance(driver.run_one(ask(104, read)), OutcomeUnknown)
    for number, its_read in ((101, LEASE), (102, read), (103, read)):
        answer = driver.run_one(transaction(number, its_read, insert="a"))
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.FORGOTTEN
    assert isinstance(driver.run_one(transaction(104, read, insert="a")), Committed)

"""The commit desk: what comes in which pieces, who is dismissed, who hears what."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Iterator

import pytest

from borealis.adjudicator.desk import Question
from borealis.foundation.errors import InvariantViolation, Malformed, Reason
from borealis.foundation.identifiers import (
    CatalogVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import (
    CommitFrame,
    Committed,
    Hello,
    HelloAnswer,
    OutcomeQuery,
    OutcomeUnknown,
    Refused,
    SequenceGrant,
    decode_answer,
    encode_hello,
    encode_outcome_query,
    encode_sequence_call,
)
from borealis.wire.frames import FRAME_HEADER, encode_frame
from borealis.wire.transaction_record import TransactionRecord
from tests.unit.adjudicator.desk_driving import (
    GREETING,
    LEASE,
    MEBIBYTE,
    NEXT,
    Dismissed,
    Make,
    Service,
    opened_services,
)


@pytest.fixture
def make() -> Iterator[Make]:
    yield from opened_services()


@pytest.fixture
def service(make: Make) -> Service:
    return make()


# Requests and answers


def test_a_transaction_is_committed_and_the_numbers_of_requests_come_back(service: Service) -> None:
    peer = service.connect()
    for number in (5, 2**64 - 1, 0):
        record = service.record(os.urandom(8))
        peer.post(CommitFrame.COMMIT, record, number)
        assert service.turn() == [record]
        (frame,) = peer.frames()
        assert frame.request == number
        assert decode_answer(frame.type, frame.payload) == Committed(
            service.core.published.acknowledged, CatalogVersion(0)
        )


def test_refusals_reach_their_senders(service: Service) -> None:
    peer, other = service.connect_many(2)
    peer.post(CommitFrame.COMMIT, service.record(read=LEASE))
    other.post(CommitFrame.COMMIT, service.record(read=LEASE))
    assert len(service.turn()) == 1
    assert isinstance(peer.answer(), Committed)
    refusal = other.answer()
    assert isinstance(refusal, Refused)
    assert refusal.reason is Reason.DATA_CONFLICT
    other.post(CommitFrame.COMMIT, service.record(b"other"))
    service.turn()
    assert isinstance(other.answer(), Committed)


def test_questions_come_to_python_with_whom_to_answer(service: Service) -> None:
    asking, calling, committing = service.connect_many(3)
    query = OutcomeQuery(TransactionId(bytes(16)), LEASE)
    asking.post(CommitFrame.OUTCOME, encode_outcome_query(query), 7)
    calling.post(CommitFrame.SEQUENCE, encode_sequence_call(NEXT), 8)
    committing.post(CommitFrame.COMMIT, service.record())
    asked, called = service.receive()
    assert (asked.number, asked.request) == (7, query)
    assert (called.number, called.request) == (8, NEXT)
    asking.post_raw(b"\1")
    assert service.receive() == []
    service.desk.reply(called.connection, 8, SequenceGrant(1, 3, True))
    service.desk.reply(asked.connection, 7, OutcomeUnknown())
    assert calling.answer() == SequenceGrant(1, 3, True)
    assert asking.answer() == OutcomeUnknown()
    service.desk.reply(asked.connection, 7, OutcomeUnknown())
    assert asking.answers() == committing.answers() == []
    service.turn()
    assert isinstance(committing.answer(), Committed)


def test_all_that_has_arrived_is_one_group_in_the_order_of_arrival(service: Service) -> None:
    peers = service.connect_many(50)
    records = [service.record(b"%d" % number) for number in range(50)]
    for peer, record in zip(peers, records, strict=True):
        peer.post(CommitFrame.COMMIT, record)
    service.desk.receive(service.now)
    assert service.desk.queued == 50
    assert service.decide() == records
    service.desk.answer()
    answers = [peer.answer() for peer in peers]
    timestamps = [answer.timestamp for answer in answers if isinstance(answer, Committed)]
    assert timestamps == sorted(set(timestamps))
    assert len(timestamps) == 50


@pytest.mark.parametrize("room", [1, 1000, 1300, 10_000])
def test_a_group_ends_before_it_goes_over_its_bound(service: Service, room: int) -> None:
    peers = service.connect_many(9)
    records = [service.record(b"%d" % number, bytes(100 + 37 * number)) for number in range(9)]
    for peer, record in zip(peers, records, strict=True):
        peer.post(CommitFrame.COMMIT, record)
    service.receive()
    done: list[bytes] = []
    while service.desk.queued:
        assert service.desk.decidable_bytes(2**40) == sum(24 + len(r) + -len(r) % 8 for r in records[len(done) :])
        group = service.decide(room)
        bound = sum(24 + len(record) + -len(record) % 8 for record in group)
        assert bound <= room or len(group) == 1
        following = records[len(done) + len(group) : len(done) + len(group) + 1]
        assert not following or bound + 24 + len(following[0]) > room - 8
        done += group
        service.desk.answer()
    assert done == records
    assert all(isinstance(peer.answer(), Committed) for peer in peers)
    assert service.desk.decidable_bytes(2**40) == 0


def test_a_desk_serves_its_own_core_only(service: Service, make: Make) -> None:
    with pytest.raises(InvariantViolation):
        service.desk.decide(make().core, 1)


def test_more_connections_than_one_round_takes(service: Service) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4000:
        pytest.skip("needs 3000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4000), hard))
    peers = [service.connect(greets=False) for _ in range(1500)]
    for number, peer in enumerate(peers):
        peer.post_raw(GREETING)
        peer.post(CommitFrame.COMMIT, service.record(b"%d" % number))
    service.desk.receive(service.now)
    assert 0 < service.desk.queued < 1500
    service.desk.receive(service.now)
    assert service.desk.queued == 1500
    service.decide()
    service.desk.answer()
    assert all(isinstance(peer.answers()[-1], Committed) for peer in peers)
    service.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Pieces


def test_a_stream_may_be_cut_anywhere(service: Service) -> None:
    length = len(GREETING + encode_frame(CommitFrame.COMMIT, 2, service.record(b"000")))
    for cut in range(1, length):
        record = service.record(b"%03d" % cut)
        stream = GREETING + encode_frame(CommitFrame.COMMIT, 2, record)
        assert len(stream) == length
        peer = service.connect(greets=False)
        peer.post_raw(stream[:cut])
        assert service.turn() == []
        peer.post_raw(stream[cut:])
        assert service.turn() == [record]
        greeting, answer = peer.answers()
        assert isinstance(greeting, HelloAnswer)
        assert isinstance(answer, Committed)


def test_a_stream_may_come_byte_by_byte(service: Service) -> None:
    peer = service.connect(greets=False)
    query = OutcomeQuery(TransactionId(bytes(16)), LEASE)
    frames = [
        GREETING,
        encode_frame(CommitFrame.COMMIT, 2, service.record()),
        encode_frame(CommitFrame.OUTCOME, 3, encode_outcome_query(query)),
        encode_frame(CommitFrame.SEQUENCE, 4, encode_sequence_call(NEXT)),
        encode_frame(CommitFrame.COMMIT, 5, service.record(b"other", bytes(5000))),
    ]
    for number, stream in enumerate(frames, 1):
        for at in range(len(stream)):
            assert peer.frames() == []
            peer.post_raw(stream[at : at + 1])
            service.turn()
        (frame,) = peer.frames()
        assert (frame.type, frame.request) != (CommitFrame.ERROR, number)
        assert frame.request == number


@pytest.mark.parametrize(
    "size", [1900, 2040, 2048, 4096, 16_384, 65_500, 65_536, 131_072, 262_144, 5_000_000, 30_000_000]
)
def test_records_of_any_size_arrive_whole(service: Service, size: int) -> None:
    peer, witness = service.connect_many(2)
    record = service.record(value=os.urandom(size))
    giant = memoryview(encode_frame(CommitFrame.COMMIT, 2, record))
    half = len(giant) // 2
    service.post_giant(peer, giant[:half])
    witness.post(CommitFrame.COMMIT, service.record(b"witness"))
    assert len(service.turn()) == 1
    assert isinstance(witness.answer(), Committed)
    service.post_giant(peer, giant[half:])
    assert service.turn() == [record]
    assert isinstance(peer.answer(), Committed)
    peer.post(CommitFrame.COMMIT, service.record(b"small"))
    service.turn()
    assert isinstance(peer.answer(), Committed)


def test_giants_that_arrive_at_once_do_not_mix(service: Service) -> None:
    peers = service.connect_many(4)
    records = [service.record(b"%d" % number, os.urandom(3_000_000 + number)) for number in range(4)]
    rests = [memoryview(encode_frame(CommitFrame.COMMIT, 2, record)) for record in records]
    while any(rests):
        rests = [rest[peer.post_some(rest) :] for peer, rest in zip(peers, rests, strict=True)]
        service.receive()
    assert sorted(service.turn()) == sorted(records)
    assert all(isinstance(peer.answer(), Committed) for peer in peers)


# Rules


@pytest.mark.parametrize(
    ("stream", "reason", "text"),
    [
        (encode_frame(CommitFrame.COMMIT, 1, b""), Reason.MALFORMED, "frame type 2 is not known here"),
        (
            encode_frame(CommitFrame.HELLO, 1, encode_hello(Hello(2, 1))),
            Reason.MALFORMED,
            "protocol version 2 is not spoken here, only 1",
        ),
        (encode_frame(CommitFrame.HELLO, 1, bytes(7)), Reason.MALFORMED, "a HELLO has the wrong length"),
        (encode_frame(CommitFrame.HELLO, 1, bytes(9)), Reason.TOO_LARGE, "a payload of 9 bytes is over the limit of 8"),
        (
            FRAME_HEADER.pack(2**32 - 1, CommitFrame.HELLO, 0, 0, 1),
            Reason.TOO_LARGE,
            "a payload of 4294967295 bytes is over the limit of 8",
        ),
        (
            FRAME_HEADER.pack(8, CommitFrame.HELLO, 1, 0, 1),
            Reason.MALFORMED,
            "the reserved bytes of a frame header are not zero",
        ),
        (
            FRAME_HEADER.pack(8, CommitFrame.HELLO, 0, 256, 1),
            Reason.MALFORMED,
            "the reserved bytes of a frame header are not zero",
        ),
    ],
)
def test_whoever_does_not_greet_properly_is_told_and_dismissed(
    service: Service, stream: bytes, reason: Reason, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = service.connect(greets=False)
    peer.post_raw(stream)
    with caplog.at_level(logging.WARNING):
        service.turn()
    assert peer.answer() == Dismissed(reason, text)
    assert peer.is_closed
    assert service.desk.connections == 0
    assert caplog.messages == [f"a connection is closed: {text}"]


@pytest.mark.parametrize(
    ("stream", "reason", "text"),
    [
        (GREETING, Reason.MALFORMED, "frame type 1 is not known here"),
        (encode_frame(9, 2), Reason.MALFORMED, "frame type 9 is not known here"),
        (FRAME_HEADER.pack(25, 3, 0, 0, 2), Reason.TOO_LARGE, "a payload of 25 bytes is over the limit of 24"),
        (FRAME_HEADER.pack(57, 4, 0, 0, 2), Reason.TOO_LARGE, "a payload of 57 bytes is over the limit of 56"),
        (
            FRAME_HEADER.pack(64 * MEBIBYTE + 1, 2, 0, 0, 2),
            Reason.TOO_LARGE,
            "a payload of 67108865 bytes is over the limit of 67108864",
        ),
        (encode_frame(CommitFrame.OUTCOME, 2, bytes(23)), Reason.MALFORMED, "an OUTCOME has the wrong length"),
        (encode_frame(CommitFrame.OUTCOME, 2), Reason.MALFORMED, "an OUTCOME has the wrong length"),
        (
            encode_frame(CommitFrame.SEQUENCE, 2, encode_sequence_call(NEXT._replace(increment=0))),
            Reason.MALFORMED,
            "the parameters of a sequence contradict each other",
        ),
    ],
)
def test_whoever_breaks_a_rule_is_told_and_dismissed(
    service: Service, stream: bytes, reason: Reason, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer, witness = service.connect_many(2)
    peer.post_raw(stream)
    witness.post(CommitFrame.COMMIT, service.record())
    with caplog.at_level(logging.WARNING):
        service.turn()
    assert peer.answer() == Dismissed(reason, text)
    assert peer.is_closed
    assert isinstance(witness.answer(), Committed)
    assert caplog.messages == [f"a connection is closed: {text}"]


def test_a_record_that_breaks_a_rule_costs_its_sender_the_connection(service: Service) -> None:
    peer = service.connect()
    record = service.record()[:-1]
    peer.post(CommitFrame.COMMIT, record)
    service.receive()
    assert service.desk.queued == 0
    with pytest.raises(Malformed) as raised:
        TransactionRecord(record)
    assert peer.answer() == Dismissed(Reason.MALFORMED, raised.value.text)


def test_a_read_timestamp_in_the_future_is_a_broken_rule(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    peer, witness = service.connect_many(2)
    peer.post(CommitFrame.COMMIT, service.record(read=LEASE + 1))
    witness.post(CommitFrame.COMMIT, service.record(b"witness"))
    with caplog.at_level(logging.WARNING):
        service.turn()
    dismissed = peer.answer()
    assert isinstance(dismissed, Dismissed)
    assert dismissed.reason is Reason.MALFORMED
    assert peer.is_closed
    assert isinstance(witness.answer(), Committed)
    assert caplog.messages == [f"a connection is closed: {dismissed.text}"]


def test_an_answer_that_calls_a_question_malformed_is_a_broken_rule(service: Service) -> None:
    peer = service.connect()
    peer.post(CommitFrame.OUTCOME, encode_outcome_query(OutcomeQuery(TransactionId(bytes(16)), Timestamp(2**60))))
    service.turn()
    dismissed = peer.answer()
    assert isinstance(dismissed, Dismissed)
    assert dismissed.reason is Reason.MALFORMED
    assert peer.is_closed


@pytest.mark.parametrize("first", [CommitFrame.COMMIT, CommitFrame.OUTCOME])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_second_request_before_the_answer_ends_the_connection(
    service: Service, first: CommitFrame, at_once: bool
) -> None:
    peer = service.connect()
    query = encode_outcome_query(OutcomeQuery(TransactionId(bytes(16)), LEASE))
    peer.post(first, service.record() if first is CommitFrame.COMMIT else query, 2)
    questions = [] if at_once else service.receive()
    peer.post(CommitFrame.COMMIT, service.record(), 3)
    questions += service.receive()
    assert service.desk.queued == 0
    assert peer.answer() == Dismissed(Reason.MALFORMED, "a second request came before the first was answered")
    assert peer.is_closed
    assert len(questions) == (first is CommitFrame.OUTCOME and not at_once)
    for question in questions:
        service.desk.reply(question.connection, question.number, OutcomeUnknown())
    assert service.turn() == []


@pytest.mark.parametrize("kept", [1, 15, 16, 90])
def test_a_second_request_that_is_not_complete_waits_for_its_turn(service: Service, kept: int) -> None:
    peer = service.connect()
    peer.post(CommitFrame.COMMIT, service.record(b"first", bytes(100_000)), 2)
    record = service.record(b"second")
    second = encode_frame(CommitFrame.COMMIT, 3, record)
    peer.post_raw(second[:kept])
    service.turn()
    assert isinstance(peer.answer(), Committed)
    peer.post_raw(second[kept:])
    assert service.turn() == [record]
    assert isinstance(peer.answer(), Committed)


# Hang-ups


def test_whoever_hangs_up_while_it_waits_is_not_decided(service: Service) -> None:
    peers = service.connect_many(5)
    records = [service.record(b"%d" % number) for number in range(5)]
    for peer, record in zip(peers, records, strict=True):
        peer.post(CommitFrame.COMMIT, record)
    service.receive()
    for gone in (0, 2, 4):
        peers[gone].close()
    service.receive()
    assert service.desk.queued == 2
    assert service.desk.connections == 2
    assert service.decide() == [records[1], records[3]]
    service.desk.answer()
    assert isinstance(peers[1].answer(), Committed)
    assert isinstance(peers[3].answer(), Committed)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_whoever_hangs_up_when_decided_is_not_answered(service: Service, is_noticed: bool) -> None:
    signals: list[int] = []
    before = signal.signal(signal.SIGPIPE, lambda number, _: signals.append(number))
    try:
        peers = service.connect_many(3)
        for number, peer in enumerate(peers):
            peer.post(CommitFrame.COMMIT, service.record(b"%d" % number))
        service.receive()
        assert len(service.decide()) == 3
        peers[1].close()
        if is_noticed:
            service.receive()
            assert service.desk.connections == 2
        service.desk.answer()
        assert isinstance(peers[0].answer(), Committed)
        assert isinstance(peers[2].answer(), Committed)
        assert service.desk.connections == 2
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert signals == []


def test_an_answer_never_reaches_another_connection(service: Service) -> None:
    query = encode_outcome_query(OutcomeQuery(TransactionId(bytes(16)), LEASE))
    gone: list[Question] = []
    for _ in range(20):
        peer = service.connect()
        peer.post(CommitFrame.OUTCOME, query, 2)
        gone += service.receive()
        peer.close()
        service.receive()
    peer = service.connect()
    peer.post(CommitFrame.OUTCOME, query, 2)
    (question,) = service.receive()
    assert len({each.connection for each in (*gone, question)}) == 21
    for each in gone:
        service.desk.reply(each.connection, each.number, OutcomeUnknown())
        service.desk.reply(each.connection, each.number, Refused(Reason.MALFORMED, "not yours"))
    assert peer.answers() == []
    service.desk.reply(question.connection, 2, SequenceGrant(1, 1, True))
    assert peer.answer() == SequenceGrant(1, 1, True)


def test_a_peer_that_reads_no_answers_holds_nobody_up(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    lazy = service.connect(buffer_bytes=4096)
    witness = service.connect()
    query = encode_outcome_query(OutcomeQuery(TransactionId(bytes(16)), LEASE))
    with caplog.at_level(logging.WARNING):
        for _ in range(10_000):
            lazy.post(CommitFrame.OUTCOME, query)
            service.turn()
            if service.desk.connections == 1:
                break
    assert service.desk.connections == 1
    assert caplog.messages == ["a connection is closed: its answers are not read"]
    witness.post(CommitFrame.COMMIT, service.record())
    service.turn()
    assert isinstance(witness.answer(), Committed)


def test_closing_the_desk_closes_every_connection(service: Service) -> None:
    waiting, decided, idle = service.connect_many(3)
    decided.post(CommitFrame.COMMIT, service.record(b"decided"))
    service.receive()
    service.decide()
    waiting.post(CommitFrame.COMMIT, service.record(b"waiting"))
    service.receive()
    service.desk.close()
    for peer in (waiting, decided, idle):
        assert peer.answers() == []
        assert peer.is_closed

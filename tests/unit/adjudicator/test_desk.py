"""The commit desk over real sockets, with the real core: what comes in which pieces, who is dismissed, who hears what."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from borealis.adjudicator.core import Core
from borealis.adjudicator.desk import CommitDesk, DeskLimits, Question
from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits
from borealis.adjudicator.published import Published
from borealis.foundation.errors import InvariantViolation, Malformed, Reason
from borealis.foundation.identifiers import (
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import (
    Answer,
    CommitFrame,
    Committed,
    Hello,
    HelloAnswer,
    OutcomeQuery,
    OutcomeUnknown,
    Refused,
    SequenceCall,
    SequenceGrant,
    SequenceOperation,
    decode_answer,
    decode_refusal,
    decode_sequence_call,
    encode_hello,
    encode_outcome_query,
    encode_sequence_call,
)
from borealis.wire.frames import FRAME_HEADER, FRAME_HEADER_BYTES, Frame, FrameReader, encode_frame
from borealis.wire.journal_batch import RecordKind, decode_batch
from borealis.wire.transaction_record import TransactionRecord, encode_transaction

LEASE = Timestamp(1000)
MEBIBYTE = 2**20
LIMITS = DeskLimits(64 * MEBIBYTE, 256 * MEBIBYTE, 10_000)
BEHIND = Refused(Reason.STORAGE_BEHIND, "later")
NEXT = SequenceCall(Relfilenode(7), SequenceOperation.NEXT, False, False, False, 1, 1, 1, 10**6, 1, 3)
GREETING = encode_frame(CommitFrame.HELLO, 1, encode_hello(Hello(1, 1)))
_ANSWER_LIMITS = {int(kind): 2**17 for kind in CommitFrame if kind >= CommitFrame.HELLO_OK}
_SMALL_BYTES = 65_536

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
measures_memory = pytest.mark.skipif(
    sys.platform != "linux" or SANITIZED, reason="reads /proc, and a sanitizer holds on to what is freed"
)


class Dismissed(NamedTuple):
    """An ERROR frame."""

    reason: Reason
    text: str


class Peer:
    """The other end of a connection. Nothing here waits: what the desk has sent is there when its call returns."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(False)
        self._reader = FrameReader(_ANSWER_LIMITS)
        self.is_closed = False

    def post(self, kind: int, payload: bytes = b"", number: int = 1) -> None:
        self.post_raw(encode_frame(kind, number, payload))

    def post_raw(self, data: bytes) -> None:
        assert self.post_some(data) == len(data)

    def post_some(self, data: bytes | memoryview) -> int:
        """What the socket has room for; all of it if nobody is there."""
        sent = 0
        try:
            while sent < len(data):
                sent += self._socket.send(data[sent:])
        except BlockingIOError:
            return sent
        except (BrokenPipeError, ConnectionResetError):
            return len(data)
        return sent

    def frames(self) -> list[Frame]:
        """Everything that has come."""
        found: list[Frame] = []
        while not self.is_closed:
            try:
                data = self._socket.recv(2**16)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            self.is_closed = not data
            found += self._reader.feed(data)
        return found

    def answers(self) -> list[Answer | Dismissed]:
        return [
            Dismissed(*decode_refusal(frame.payload))
            if frame.type == CommitFrame.ERROR
            else decode_answer(frame.type, frame.payload)
            for frame in self.frames()
        ]

    def answer(self) -> Answer | Dismissed:
        (answer,) = self.answers()
        return answer

    def finish(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


class Service:
    """A desk and a core, and one group after the other."""

    def __init__(self, limits: DeskLimits = LIMITS, outcomes: OutcomeLimits = OutcomeLimits()) -> None:  # noqa: B008
        start = Published(Timestamp(0), SchemaVersion(0), CatalogVersion(0))
        self.core = Core(AdjudicatorLimits(outcomes=outcomes), start, 0)
        self.core.begin_lease(LEASE)
        self.desk = CommitDesk(self.core, limits)
        self.now = Timestamp(LEASE + 1)
        self.peers: list[Peer] = []
        self.questions: list[Question] = []
        """All that were ever asked."""

    def connect(self, greets: bool = True, send_buffer_bytes: int | None = None) -> Peer:
        ours, theirs = socket.socketpair()
        if send_buffer_bytes is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.desk.adopt(ours)
        peer = Peer(theirs)
        self.peers.append(peer)
        if greets:
            peer.post_raw(GREETING)
            self.receive()
            assert peer.answers() == [HelloAnswer(LEASE, LIMITS.transaction_bytes_max)]
        return peer

    def connect_many(self, count: int) -> list[Peer]:
        return [self.connect() for _ in range(count)]

    def receive(self) -> list[Question]:
        """Everything that has been posted."""
        questions: list[Question] = []
        while select.select([self.desk.descriptor], [], [], 0)[0]:
            questions += self.desk.receive(self.now)
        self.questions += questions
        return questions

    def decide(self, bytes_max: int = 2**30) -> list[bytes]:
        """Decide a group; the transactions of its batch."""
        self.now = Timestamp(self.now + 1)
        self.core.begin_group(self.now)
        bound = self.desk.decidable_bytes(bytes_max)
        self.desk.decide(self.core, bytes_max)
        if not self.core.has_records:
            self.core.confirm()
            return []
        batch = self.core.seal(Position(0), Epoch(1))
        self.core.confirm()
        records = decode_batch(batch).records
        payloads = [bytes(record.payload) for record in records if record.kind == RecordKind.TRANSACTION]
        assert sum(24 + len(payload) + -len(payload) % 8 for payload in payloads) <= bound
        return payloads

    def turn(self, bytes_max: int = 2**30) -> list[bytes]:
        """Receive, decide, answer; questions are answered as a core without sequences can."""
        for connection, number, request in self.receive():
            answer = self.core.ask(request) if isinstance(request, OutcomeQuery) else SequenceGrant(1, 1, True)
            self.desk.reply(connection, number, answer)
        payloads = self.decide(bytes_max)
        self.desk.answer()
        return payloads

    def post_giant(self, peer: Peer, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[peer.post_some(view) :]
            self.receive()

    def record(self, key: bytes = b"k", value: bytes = b"v", read: int | None = None) -> bytes:
        return encode_transaction(
            TransactionId(os.urandom(16)),
            Timestamp(self.core.published.acknowledged if read is None else read),
            writes=[(1, b"\x10\0\0\0\1" + key, value)],
        )

    def close(self) -> None:
        self.desk.close()
        for peer in self.peers:
            peer.close()


Make = Callable[..., Service]


@pytest.fixture
def make() -> Iterator[Make]:
    services: list[Service] = []

    def make_one(*arguments: object, **named: object) -> Service:
        services.append(Service(*arguments, **named))  # type: ignore[arg-type]
        return services[-1]

    yield make_one
    for service in services:
        service.close()


@pytest.fixture
def service(make: Make) -> Service:
    return make()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


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
    lazy = service.connect(send_buffer_bytes=4096)
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


# Waiting and refusing


def test_those_who_have_waited_too_long_are_refused_and_the_others_keep_their_place(service: Service) -> None:
    peers = service.connect_many(4)
    records = [service.record(b"%d" % number) for number in range(4)]
    # The clock may step backwards.
    for peer, record, now in zip(peers, records, (20, 30, 10, 40), strict=True):
        peer.post(CommitFrame.COMMIT, record)
        service.desk.receive(Timestamp(now))
    assert service.desk.oldest_arrival == 10
    assert service.desk.refuse(BEHIND, Timestamp(9)) == 0
    assert service.desk.refuse(BEHIND, Timestamp(20)) == 2
    assert service.desk.oldest_arrival == 30
    assert peers[0].answer() == peers[2].answer() == BEHIND
    assert service.decide() == [records[1], records[3]]
    assert service.desk.oldest_arrival is None
    service.desk.answer()
    assert isinstance(peers[1].answer(), Committed)


def test_the_oldest_arrival_follows_who_leaves(service: Service) -> None:
    peers = service.connect_many(3)
    for peer, now in zip(peers, (10, 30, 20), strict=True):
        peer.post(CommitFrame.COMMIT, service.record(os.urandom(8)))
        service.desk.receive(Timestamp(now))
    peers[0].close()
    service.desk.receive(Timestamp(50))
    assert service.desk.oldest_arrival == 20
    service.core.begin_group(service.now)
    assert service.desk.decide(service.core, 1) == 1
    assert service.desk.oldest_arrival == 20
    assert service.desk.decide(service.core, 1) == 1
    assert service.desk.oldest_arrival is None


def test_whoever_is_refused_undecided_is_fenced(service: Service) -> None:
    peer = service.connect()
    record = service.record()
    peer.post(CommitFrame.COMMIT, record)
    service.receive()
    assert service.desk.refuse(BEHIND) == 1
    assert peer.answer() == BEHIND
    peer.post(CommitFrame.COMMIT, record)
    assert service.turn() == []
    refusal = peer.answer()
    assert isinstance(refusal, Refused)
    assert refusal.reason is Reason.FORGOTTEN


def test_where_nobody_can_be_fenced_nothing_is_promised(make: Make) -> None:
    service = make(outcomes=OutcomeLimits(fences_max=1))
    peers = service.connect_many(2)
    for peer in peers:
        peer.post(CommitFrame.COMMIT, service.record())
    service.receive()
    assert service.desk.refuse(BEHIND) == 2
    assert [peer.answer() for peer in peers] == [BEHIND, OutcomeUnknown()]


def test_the_queue_is_bounded_by_number(make: Make) -> None:
    service = make(LIMITS._replace(queued_max=2))
    peers = service.connect_many(3)
    records = [service.record(b"%d" % number) for number in range(3)]
    for peer, record in zip(peers, records, strict=True):
        peer.post(CommitFrame.COMMIT, record)
    assert service.turn() == records[:2]
    refusal = peers[2].answer()
    assert isinstance(refusal, Refused)
    assert refusal.reason is Reason.STORAGE_BEHIND
    peers[2].post(CommitFrame.COMMIT, records[2])
    assert service.turn() == []  # fenced
    peers[2].answers()
    peers[2].post(CommitFrame.COMMIT, service.record(b"new"))
    assert len(service.turn()) == 1


# Memory


def test_bytes_on_their_way_in_are_bounded_over_all_connections(make: Make) -> None:
    service = make(LIMITS._replace(intake_bytes_max=4 * MEBIBYTE))
    peers = service.connect_many(6)
    for peer in peers:
        service.post_giant(peer, FRAME_HEADER.pack(2 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(MEBIBYTE - 16))
    too_many = Dismissed(Reason.STORAGE_BEHIND, "too many bytes are waiting to be committed")
    assert [peer.answers() for peer in peers] == [[]] * 4 + [[too_many]] * 2
    small = service.connect()
    small.post(CommitFrame.COMMIT, service.record(value=bytes(60_000)))
    service.turn()
    assert isinstance(small.answer(), Committed)
    # What is held by a connection goes with it.
    peers[0].close()
    service.receive()
    again = service.connect()
    service.post_giant(again, FRAME_HEADER.pack(2 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(MEBIBYTE - 16))
    assert again.answers() == []


def test_large_transactions_count_until_they_are_decided(make: Make) -> None:
    service = make(LIMITS._replace(intake_bytes_max=3 * MEBIBYTE))
    for _ in range(3):
        peers = service.connect_many(3)
        for number, peer in enumerate(peers):
            service.post_giant(
                peer, encode_frame(CommitFrame.COMMIT, 1, service.record(b"%d" % number, bytes(MEBIBYTE)))
            )
        assert service.desk.queued == 2
        assert len(service.turn()) == 2
        answers = [peer.answer() for peer in peers]
        assert [type(answer) for answer in answers] == [Committed, Committed, Dismissed]


@measures_memory
def test_announced_lengths_take_no_memory(service: Service) -> None:
    peers = service.connect_many(400)
    before = resident_bytes()
    for peer in peers:
        peer.post_raw(FRAME_HEADER.pack(64 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(1000))
    service.receive()
    assert resident_bytes() - before < 4 * MEBIBYTE


@measures_memory
def test_a_giant_leaves_no_memory_behind(service: Service) -> None:
    peers = service.connect_many(3)
    before = resident_bytes()
    frame = encode_frame(CommitFrame.COMMIT, 1, service.record(value=bytes(50 * MEBIBYTE)))
    for peer in peers:
        service.post_giant(peer, frame)
    assert resident_bytes() - before > 3 * 50 * MEBIBYTE
    assert service.desk.refuse(BEHIND) == 3
    del frame
    assert resident_bytes() - before < 10 * MEBIBYTE


# Hostile bytes


class Expected:
    """What a connection is told, after the rules of docs/formats.md; a turn of the service follows each piece."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = b""
        self._is_greeted = False
        self.told: list[tuple[int, str]] = []
        self.is_closed = False

    def feed(self, piece: bytes) -> None:
        """To be called before the turn."""
        self._buffer += piece
        requests: list[tuple[int, bytes]] = []
        while not self.is_closed and len(self._buffer) >= FRAME_HEADER_BYTES:
            length, kind, zero, more_zero, _ = FRAME_HEADER.unpack_from(self._buffer)
            limits = {2: LIMITS.transaction_bytes_max, 3: 24, 4: 56} if self._is_greeted else {1: 8}
            if zero or more_zero:
                self._end("the reserved bytes of a frame header are not zero")
            elif kind not in limits:
                self._end(f"frame type {kind} is not known here")
            elif length > limits[kind]:
                self._end(f"a payload of {length} bytes is over the limit of {limits[kind]}")
            elif len(self._buffer) < FRAME_HEADER_BYTES + length:
                break
            else:
                payload = self._buffer[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length]
                self._buffer = self._buffer[FRAME_HEADER_BYTES + length :]
                self._take(kind, payload, requests)
        if not self.is_closed:
            for kind, payload in requests:
                self._answer(kind, payload)

    def _take(self, kind: int, payload: bytes, requests: list[tuple[int, bytes]]) -> None:
        if kind == CommitFrame.HELLO:
            version = struct.unpack_from("<I", payload)[0] if len(payload) == 8 else None
            if version == 1:
                self._is_greeted = True
                self.told.append((CommitFrame.HELLO_OK, ""))
            elif version is None:
                self._end("a HELLO has the wrong length")
            else:
                self._end(f"protocol version {version} is not spoken here, only 1")
        elif requests:
            self._end("a second request came before the first was answered")
        elif kind == CommitFrame.COMMIT and (problem := _problem_of(payload)) is not None:
            self._end(problem)
        else:
            requests.append((kind, payload))

    def _answer(self, kind: int, payload: bytes) -> None:
        if kind == CommitFrame.SEQUENCE:
            try:
                decode_sequence_call(payload)
                self.told.append((CommitFrame.SEQUENCE_OK, ""))
            except Malformed as error:
                self._end(error.text)
        elif kind == CommitFrame.OUTCOME and len(payload) != 24:
            self._end("an OUTCOME has the wrong length")
        elif struct.unpack_from("<16xQ", payload)[0] > self._service.core.published.acknowledged:
            self._end("the read timestamp lies in the future")
        else:
            self.told.append((0, ""))  # the core's affair

    def _end(self, text: str) -> None:
        self.is_closed = True
        self.told.append((CommitFrame.ERROR, text))


def _problem_of(payload: bytes) -> str | None:
    try:
        TransactionRecord(payload)
    except Malformed as error:
        return error.text
    return None


def _hostile_pieces(random: Random, service: Service) -> Iterator[bytes]:
    frames = [bytearray(GREETING)]
    for _ in range(random.randrange(5)):
        match random.randrange(4):
            case 0:
                query = OutcomeQuery(TransactionId(random.randbytes(16)), LEASE)
                frame = encode_frame(CommitFrame.OUTCOME, 2, encode_outcome_query(query))
            case 1:
                frame = encode_frame(CommitFrame.SEQUENCE, 3, encode_sequence_call(NEXT))
            case _:
                frame = encode_frame(CommitFrame.COMMIT, 4, service.record(random.randbytes(8)))
        frames.append(bytearray(frame))
    _mutate(random, random.choice(frames))
    if random.randrange(3):
        yield from map(bytes, frames)
        return
    stream = b"".join(frames)
    while stream:
        length = random.choice((1, 7, 16, 40, 200, 1000))
        yield stream[:length]
        stream = stream[length:]


def _mutate(random: Random, stream: bytearray) -> None:
    for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
        at = random.randrange(len(stream) or 1)
        match random.randrange(4):
            case 0 if stream:
                stream[at] = random.randrange(256)
            case 1 if stream:
                stream[at] ^= 1 << random.randrange(8)
            case 2:
                del stream[at : at + random.randrange(1, 40)]
            case _:
                stream[at:at] = random.randbytes(random.randrange(1, 40))


@pytest.mark.parametrize("seed", range(10))
def test_hostile_bytes_are_judged_by_the_rules_and_harm_nobody(service: Service, seed: int) -> None:
    random = Random(seed)
    witness = service.connect()
    for number in range(250):
        peer, expected = service.connect(greets=False), Expected(service)
        told: list[tuple[int, str]] = []
        for piece in _hostile_pieces(random, service):
            if not expected.is_closed:
                expected.feed(piece)
            peer.post_raw(piece)
            service.turn()
            for frame in peer.frames():
                text = decode_refusal(frame.payload).text if frame.type == CommitFrame.ERROR else ""
                told.append((frame.type, text))
        assert peer.is_closed == expected.is_closed, (seed, number)
        assert len(told) == len(expected.told), (seed, number, told, expected.told)
        for (kind, text), (expected_kind, expected_text) in zip(told, expected.told, strict=True):
            if expected_kind:
                assert kind == expected_kind, (seed, number)
            else:
                assert kind in (CommitFrame.COMMITTED, CommitFrame.REJECTED, CommitFrame.UNKNOWN), (seed, number)
            if expected_text:
                assert text == expected_text, (seed, number)
        peer.close()
        service.receive()
        assert service.desk.connections == 1
    witness.post(CommitFrame.COMMIT, service.record(b"witness"))
    service.turn()
    assert isinstance(witness.answer(), Committed)


@pytest.mark.parametrize("seed", range(4))
def test_many_peers_that_come_and_go_at_random(make: Make, seed: int) -> None:
    """Everybody who stays hears exactly one answer to each request; what is committed was sent."""
    random = Random(seed)
    service = make(LIMITS._replace(intake_bytes_max=2 * MEBIBYTE, queued_max=12))
    peers: dict[int, Peer] = {}
    owed: dict[int, int] = {}
    sent: set[bytes] = set()
    committed: list[bytes] = []
    questions = service.questions
    for step in range(1500):
        match random.randrange(10):
            case 0 if len(peers) < 20:
                peers[step] = service.connect()
                owed[step] = 0
            case 1 if peers:
                gone = random.choice(sorted(peers))
                peers.pop(gone).close()
                del owed[gone]
            case 2 | 3 | 4 | 5 if peers and not all(owed.values()):
                chosen = random.choice([each for each in sorted(peers) if not owed[each]])
                owed[chosen] = 1
                if random.randrange(4):
                    size = random.choice((10, 10, 10, 3000, 70_000, 150_000))
                    record = service.record(random.randbytes(8), bytes(size))
                    sent.add(record)
                    service.post_giant(peers[chosen], encode_frame(CommitFrame.COMMIT, 1, record))
                else:
                    query = OutcomeQuery(TransactionId(random.randbytes(16)), LEASE)
                    peers[chosen].post(CommitFrame.OUTCOME, encode_outcome_query(query))
            case 6:
                service.receive()
            case 7:
                committed += service.decide(random.choice((1, 10_000, 2**30)))
                service.receive()
                service.desk.answer()
            case 8:
                service.desk.refuse(BEHIND, Timestamp(service.now - random.randrange(3)))
            case _:
                random.shuffle(questions)
                for connection, number, _ in questions[:3]:
                    service.desk.reply(connection, number, OutcomeUnknown())
                del questions[:3]
        for each, peer in sorted(peers.items()):
            told = peer.answers()
            owed[each] -= len(told)
            assert owed[each] in (0, 1), told
            if peer.is_closed:
                assert told == [Dismissed(Reason.STORAGE_BEHIND, "too many bytes are waiting to be committed")]
                peers.pop(each).close()
                del owed[each]
    service.receive()
    for connection, number, _ in questions:
        service.desk.reply(connection, number, OutcomeUnknown())
    committed += service.decide()
    service.desk.answer()
    assert all(len(peer.answers()) == owed[each] for each, peer in peers.items())
    assert len(committed) > 100
    assert len(set(committed)) == len(committed)
    assert sent.issuperset(committed)

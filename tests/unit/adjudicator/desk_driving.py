"""A commit desk with a real core, real sockets to it, and whoever is at their other ends."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

from borealis.adjudicator.core import Core
from borealis.adjudicator.desk import CommitDesk, DeskLimits, Question
from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits
from borealis.adjudicator.published import Published
from borealis.foundation.errors import Reason
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
    Hello,
    HelloAnswer,
    OutcomeQuery,
    Refused,
    SequenceCall,
    SequenceGrant,
    SequenceOperation,
    decode_answer,
    decode_refusal,
    encode_hello,
)
from borealis.wire.frames import Frame, FrameReader, encode_frame
from borealis.wire.journal_batch import RecordKind, decode_batch
from borealis.wire.transaction_record import encode_transaction

LEASE = Timestamp(1000)
MEBIBYTE = 2**20
LIMITS = DeskLimits(64 * MEBIBYTE, 256 * MEBIBYTE, 10_000)
BEHIND = Refused(Reason.STORAGE_BEHIND, "later")
NEXT = SequenceCall(Relfilenode(7), SequenceOperation.NEXT, False, False, False, 1, 1, 1, 10**6, 1, 3)
GREETING = encode_frame(CommitFrame.HELLO, 1, encode_hello(Hello(1, 1)))
_ANSWER_LIMITS = {int(kind): 2**17 for kind in CommitFrame if kind >= CommitFrame.HELLO_OK}


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

    def connect(self, greets: bool = True, buffer_bytes: int | None = None) -> Peer:
        ours, theirs = socket.socketpair()
        if buffer_bytes is not None:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
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

    @property
    def is_readable(self) -> bool:
        return bool(select.select([self.desk.descriptor], [], [], 0)[0])

    def receive(self) -> list[Question]:
        """Everything that has been posted."""
        questions: list[Question] = []
        while self.is_readable:
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
        self.core.seal(Position(0), Epoch(1))
        batch = self.core.batch
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


def opened_services() -> Iterator[Make]:
    """What a fixture yields from."""
    services: list[Service] = []

    def make_one(*arguments: object, **named: object) -> Service:
        services.append(Service(*arguments, **named))  # type: ignore[arg-type]
        return services[-1]

    yield make_one
    for service in services:
        service.close()

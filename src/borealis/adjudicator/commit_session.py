"""One connection of a query processor on the commit socket: frames in, requests out, answers back.

Promises: bytes that break a rule cost their sender its connection and nobody else anything; memory grows only with
bytes that have arrived, and all connections together stay below one bound.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Final, Protocol, cast

from borealis.adjudicator.adjudicator import Request
from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.foundation.identifiers import Relfilenode, Timestamp
from borealis.wire.commit_messages import (
    HELLO_BYTES,
    OUTCOME_BYTES,
    PROTOCOL_VERSION,
    RESERVE_BYTES_MAX,
    SEQUENCE_BYTES,
    Answer,
    CommitFrame,
    HelloAnswer,
    Refused,
    Reserved,
    decode_hello,
    decode_outcome_query,
    decode_reservation,
    decode_sequence_call,
    encode_answer,
    encode_error,
)
from borealis.wire.frames import Frame, FrameReader
from borealis.wire.transaction_record import TransactionRecord

_log = logging.getLogger("commit")
# Requests up to this size are not counted while they wait for their decision: their number is bounded.
_SMALL_BYTES: Final = 65_536
_HELLO_LIMITS: Final = {int(CommitFrame.HELLO): HELLO_BYTES}


class Intake:
    """Counts the bytes of requests that arrive or wait to be decided, over all connections."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0

    def grow(self, count: int) -> bool:
        """False if that would be too many; then nothing is counted."""
        if self._bytes + count > self._bytes_max:
            return False
        self._bytes += count
        return True

    def shrink(self, count: int) -> None:
        self._bytes -= count


class CommitDesk(Protocol):
    """Where sessions bring their requests."""

    @property
    def lease_start(self) -> Timestamp: ...

    @property
    def transaction_bytes_max(self) -> int: ...

    def submit(self, session: "CommitSession", number: int, request: Request) -> None: ...

    def reserve(self, session: "CommitSession", tables: Collection[Relfilenode]) -> None: ...

    def add_session(self, session: "CommitSession") -> None: ...

    def remove_session(self, session: "CommitSession") -> None: ...


class CommitSession(asyncio.Protocol):
    def __init__(self, desk: CommitDesk, intake: Intake) -> None:
        self._desk = desk
        self._intake = intake
        self._reader = FrameReader(_HELLO_LIMITS)
        self._counted = 0
        self._undecided_bytes = 0
        self._is_greeted = False
        self._is_waiting = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._transport = stream
        self._desk.add_session(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - it makes no difference
        self._transport = None
        self._count(0)
        self._desk.remove_session(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        number = 0
        try:
            for frame in self._reader.feed(data):
                number = frame.request
                self._take(frame)
        except Rejected as error:
            self._fail(number, error.reason, error.text)
        except Exception:
            _log.exception("a request could not be understood")
            self._fail(number, Reason.MALFORMED, "the request could not be understood")
        else:
            if not self._count(self._reader.buffered_bytes + self._undecided_bytes):
                self._fail(number, Reason.STORAGE_BEHIND, "too many bytes are waiting to be committed")

    def _take(self, frame: Frame) -> None:
        if self._is_waiting:
            raise Malformed("a second request came before the first was answered")
        if not self._is_greeted:
            self._greet(frame)
            return
        payload = frame.payload
        if frame.type == CommitFrame.RESERVE:
            self._desk.reserve(self, decode_reservation(payload))
            self._write(encode_answer(frame.request, Reserved()))
            return
        self._is_waiting = True
        request: Request
        if frame.type == CommitFrame.COMMIT:
            request = TransactionRecord(payload)
            if len(payload) > _SMALL_BYTES:
                self._undecided_bytes = len(payload)
        elif frame.type == CommitFrame.OUTCOME:
            request = decode_outcome_query(payload)
        else:
            request = decode_sequence_call(payload)
        self._desk.submit(self, frame.request, request)

    def _greet(self, frame: Frame) -> None:
        hello = decode_hello(frame.payload)
        if hello.protocol_version != PROTOCOL_VERSION:
            raise Malformed(f"protocol version {hello.protocol_version} is not spoken here, only {PROTOCOL_VERSION}")
        self._is_greeted = True
        bytes_max = self._desk.transaction_bytes_max
        self._reader = FrameReader(
            {
                CommitFrame.COMMIT: bytes_max,
                CommitFrame.OUTCOME: OUTCOME_BYTES,
                CommitFrame.SEQUENCE: SEQUENCE_BYTES,
                CommitFrame.RESERVE: RESERVE_BYTES_MAX,
            }
        )
        self._write(encode_answer(frame.request, HelloAnswer(self._desk.lease_start, bytes_max)))

    def answer(self, number: int, answer: Answer) -> None:
        """Answer the one request of this session that is in flight."""
        self._is_waiting = False
        if self._undecided_bytes:
            self._undecided_bytes = 0
            self._count(self._reader.buffered_bytes)
        if type(answer) is Refused and answer.reason is Reason.MALFORMED:
            self._fail(number, answer.reason, answer.text)
        elif self._transport is not None:
            self._transport.write(encode_answer(number, answer))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _fail(self, number: int, reason: Reason, text: str) -> None:
        _log.warning("a connection is closed: %s", text)
        self._write(encode_error(number, reason, text))
        self.close()

    def _count(self, held_bytes: int) -> bool:
        if held_bytes <= self._counted:
            self._intake.shrink(self._counted - held_bytes)
        elif not self._intake.grow(held_bytes - self._counted):
            return False
        self._counted = held_bytes
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

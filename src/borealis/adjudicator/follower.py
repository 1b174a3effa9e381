"""One connection on the journal socket: a storage process that follows the journal.

A follower names a position and gets every batch from there on, in order: from the files while it is behind, from
memory once it is close. What it has not taken yet is never buffered beyond the transport's own limit.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Final, Protocol, cast

from borealis.adjudicator.recent_batches import RecentBatches
from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.foundation.identifiers import NO_TIMESTAMP, Position
from borealis.journal.reading import BatchRange, JournalView, Truncated, read_batches, read_giant
from borealis.journal.recovery import JournalDamaged
from borealis.wire.commit_messages import encode_refusal
from borealis.wire.frames import Frame, FrameReader, Octets, encode_frame, encode_frame_header
from borealis.wire.journal_batch import BatchHeader, decode_batch_header
from borealis.wire.journal_messages import (
    FOLLOWER_LIMITS,
    Applied,
    JournalFrame,
    decode_applied,
    decode_position,
    encode_position,
)

_log = logging.getLogger("journal")
_WRITE_BUFFER_BYTES: Final = 4 * 2**20
# To copy a batch of this size costs less than a second system call.
_COPIED_BYTES_MAX: Final = 16_384


class JournalDesk(Protocol):
    """What followers need of the service."""

    @property
    def journal_view(self) -> JournalView: ...

    @property
    def recent(self) -> RecentBatches: ...

    def note_applied(self, applied: Applied) -> None: ...

    def note_snapshot(self, position: Position) -> None: ...

    def add_follower(self, follower: "Follower") -> None: ...

    def remove_follower(self, follower: "Follower") -> None: ...


class Follower(asyncio.Protocol):
    def __init__(self, desk: JournalDesk) -> None:
        self._desk = desk
        self._reader = FrameReader(FOLLOWER_LIMITS)
        self._transport: asyncio.Transport | None = None
        self._next: Position | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    @property
    def next_position(self) -> Position | None:
        """The position of the next batch that it gets; None as long as it has not asked for any."""
        return self._next

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        stream.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._transport = stream

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - it makes no difference
        self._transport = None
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._desk.remove_follower(self)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()
        self.pump()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except Rejected as error:
            self._fail(error.reason, error.text)

    def _take(self, frame: Frame) -> None:
        if frame.type == JournalFrame.FOLLOW:
            self._follow(decode_position(frame.payload))
        elif self._next is None:
            raise Malformed("a follower reports before it follows")
        elif frame.type == JournalFrame.APPLIED:
            applied = decode_applied(frame.payload)
            self._check_reached(applied.position)
            self._desk.note_applied(applied)
        else:
            position = decode_position(frame.payload)
            self._check_reached(position)
            self._desk.note_snapshot(position)

    def _follow(self, position: Position) -> None:
        if self._catching_up is not None:
            raise Malformed("a follower changes its position while it catches up")
        self._check_reached(position)
        view = self._desk.journal_view
        oldest = view.segments[0].header.first_position
        if position < oldest:
            self._write(encode_frame(JournalFrame.GONE, 0, encode_position(oldest)))
            return
        _log.info("a follower begins at position %d, %d bytes behind the end", position, view.end - position)
        self._next = position
        self._desk.note_applied(Applied(position, NO_TIMESTAMP))  # what it asks for next says what it has
        self._desk.add_follower(self)
        self.pump()

    def _check_reached(self, position: Position) -> None:
        if position > self._desk.journal_view.end:
            raise Malformed(f"position {position} is behind the end of the journal")

    def offer(self, position: Position, batch: Octets) -> None:
        """The next batch of the journal, which is among the recent ones by now unless it is a giant."""
        if self._next == position and len(batch) <= _COPIED_BYTES_MAX and self._is_writable:
            self._write_batch(batch)
            self._next = Position(position + len(batch))
        else:
            self.pump()

    @property
    def _is_writable(self) -> bool:
        if self._catching_up is not None or not self._may_write.is_set():
            return False
        return self._transport is not None and not self._transport.is_closing()

    def pump(self) -> None:
        """Send what there is to send and may be sent now."""
        if self._next is None or not self._is_writable:
            return
        recent = self._desk.recent
        if recent.covers(self._next):
            for position, batch in recent.since(self._next):
                self._write_batch(batch)
                self._next = Position(position + len(batch))
                if not self._may_write.is_set():
                    return
        else:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up(self._next))

    async def _catch_up(self, position: Position) -> None:
        """Send from the files until memory covers the rest."""
        try:
            while not self._desk.recent.covers(position):
                found = await asyncio.to_thread(read_batches, self._desk.journal_view, position)
                if found is None:
                    break
                await self._send_range(found)
                position = found.end
            self._next = position
        except Truncated:
            self._fail(Reason.FORGOTTEN, "the journal has been truncated here; follow again")
        except (JournalDamaged, OSError) as error:
            _log.critical("the journal cannot be read: %s", error)
            self._fail(Reason.MALFORMED, f"the journal cannot be read: {error}")
        finally:
            self._catching_up = None
        self.pump()

    async def _send_range(self, found: BatchRange) -> None:
        await self._may_write.wait()
        if found.giant is not None:
            await self._send_giant(found.giant)
            return
        offset = 0
        while offset < len(found.data):
            header = decode_batch_header(found.data, offset)
            self._write(encode_frame_header(JournalFrame.BATCH, 0, header.length))
            self._write(memoryview(found.data)[offset : offset + header.length])
            offset += header.length

    async def _send_giant(self, header: BatchHeader) -> None:
        pieces: Iterator[bytes] = await asyncio.to_thread(read_giant, self._desk.journal_view, header)
        self._write(encode_frame_header(JournalFrame.BATCH, 0, header.length))
        while piece := await asyncio.to_thread(next, pieces, b""):
            await self._may_write.wait()
            self._write(piece)

    def _write_batch(self, batch: Octets) -> None:
        header = encode_frame_header(JournalFrame.BATCH, 0, len(batch))
        if len(batch) <= _COPIED_BYTES_MAX:
            self._write(header + batch)
            return
        self._write(header)
        self._write(batch)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _fail(self, reason: Reason, text: str) -> None:
        _log.warning("a follower is dismissed: %s", text)
        self._write(encode_frame(JournalFrame.ERROR, 0, encode_refusal(reason, text)))
        self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

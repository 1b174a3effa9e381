"""One connection on the journal socket: a storage process that follows the journal.

A follower names a position and gets every batch from there on, in order: from the files while it is behind, and once it
has caught up from whoever completes a group (transaction_library/journal_effects.h), until it falls behind. What it has
not taken yet is never buffered beyond one piece of a file.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Protocol

from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.foundation.identifiers import NO_TIMESTAMP, Position
from borealis.journal.reading import BatchRange, JournalView, Truncated, read_batches, read_giant
from borealis.journal.recovery import JournalDamaged
from borealis.wire.commit_messages import encode_refusal
from borealis.wire.frames import Frame, FrameReader, encode_frame, encode_frame_header
from borealis.wire.journal_batch import decode_batch_header
from borealis.wire.journal_messages import (
    FOLLOWER_LIMITS,
    Applied,
    JournalFrame,
    decode_applied,
    decode_position,
    encode_position,
)

_log = logging.getLogger("journal")
_READ_BYTES: Final = 65_536


class JournalDesk(Protocol):
    """What followers need of the service."""

    @property
    def journal_view(self) -> JournalView: ...

    def note_applied(self, applied: Applied) -> None: ...

    def note_snapshot(self, position: Position) -> None: ...

    def feed_live(self, follower: "Follower") -> None:
        """It has everything up to the end of the journal. `fall_behind` tells it when it has not any more."""

    def remove_follower(self, follower: "Follower") -> None: ...


class Follower:
    def __init__(self, desk: JournalDesk, connection: socket.socket) -> None:
        """Takes the socket over."""
        connection.setblocking(False)
        self._desk = desk
        self._socket = connection
        self.descriptor: Final = connection.fileno()
        self._reader = FrameReader(FOLLOWER_LIMITS)
        self._loop = asyncio.get_running_loop()
        self._follows = False
        self._catching_up: asyncio.Task[None] | None = None
        self._is_open = True
        self._loop.add_reader(self.descriptor, self._receive)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except Rejected as error:
            self._fail(error.reason, error.text)

    def _take(self, frame: Frame) -> None:
        if frame.type == JournalFrame.FOLLOW:
            self._follow(decode_position(frame.payload))
        elif not self._follows:
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
        if self._follows:
            raise Malformed("a follower names a position a second time")
        self._check_reached(position)
        view = self._desk.journal_view
        oldest = view.segments[0].header.first_position
        if position < oldest:
            self._say(JournalFrame.GONE, encode_position(oldest))
            return
        _log.info("a follower begins at position %d, %d bytes behind the end", position, view.end - position)
        self._follows = True
        self._desk.note_applied(Applied(position, NO_TIMESTAMP))  # what it asks for next says what it has
        self.fall_behind(position, 0)

    def _check_reached(self, position: Position) -> None:
        if position > self._desk.journal_view.end:
            raise Malformed(f"position {position} is behind the end of the journal")

    # From the files

    def fall_behind(self, position: Position, sent: int) -> None:
        """Go on from there; `sent` bytes of the frame of the batch at `position` are on their way already."""
        if self._is_open:
            self._catching_up = self._loop.create_task(self._catch_up(position, sent))

    async def _catch_up(self, position: Position, sent: int) -> None:
        refusal: tuple[Reason, str] | None = None
        try:
            await self._send_from(position, sent)
            self._desk.feed_live(self)
        except Truncated:
            refusal = Reason.FORGOTTEN, "the journal has been truncated here; follow again"
        except ConnectionError as error:
            refusal = Reason.FORGOTTEN, f"the connection is broken: {error}"
        except (JournalDamaged, OSError) as error:
            _log.critical("the journal cannot be read: %s", error)
            refusal = Reason.MALFORMED, f"the journal cannot be read: {error}"
        finally:
            self._catching_up = None
            if not self._is_open:
                self._socket.close()
        if refusal is not None:
            self._fail(*refusal)

    async def _send_from(self, position: Position, sent: int) -> None:
        """Up to the end, which is still the end when this returns."""
        while True:
            view = self._desk.journal_view
            found = await asyncio.to_thread(read_batches, view, position)
            if found is not None:
                await self._send_range(found, sent)
                position, sent = found.end, 0
            elif view.end == self._desk.journal_view.end:
                return

    async def _send_range(self, found: BatchRange, sent: int) -> None:
        if found.giant is not None:
            pieces: Iterator[bytes] = await asyncio.to_thread(read_giant, self._desk.journal_view, found.giant)
            await self._send(encode_frame_header(JournalFrame.BATCH, 0, found.giant.length))
            while piece := await asyncio.to_thread(next, pieces, b""):
                await self._send(piece)
            return
        frames = bytearray()
        offset = 0
        while offset < len(found.data):
            length = decode_batch_header(found.data, offset).length
            frames += encode_frame_header(JournalFrame.BATCH, 0, length)
            frames += memoryview(found.data)[offset : offset + length]
            offset += length
        await self._send(memoryview(frames)[sent:])

    async def _send(self, data: bytes | memoryview) -> None:
        await self._loop.sock_sendall(self._socket, data)

    # The end

    def _fail(self, reason: Reason, text: str) -> None:
        _log.warning("a follower is dismissed: %s", text)
        self._say(JournalFrame.ERROR, encode_refusal(reason, text))
        self.close()

    def _say(self, kind: JournalFrame, payload: bytes) -> None:
        """Told if it can be told at once, between two batches."""
        if self._is_open and self._catching_up is None:
            with suppress(OSError):
                self._socket.send(encode_frame(kind, 0, payload))

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self.descriptor)
        self._desk.remove_follower(self)
        if self._catching_up is None:
            self._socket.close()
        else:
            self._catching_up.cancel()  # and it closes the socket, which it may be sending on

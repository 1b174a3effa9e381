"""The end of a connection: the last bytes are sent, and read by the client, before the socket is closed.

Closing a socket that holds unread input makes the kernel reset the connection, and the client would not see what it was
told last. So writing ends first, and what still comes is thrown away for a moment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from borealis.front.byte_pipe import PeerGone, read_some, stop_writing, write_some
from borealis.front.poller import READ, WRITE, Timer

if TYPE_CHECKING:
    from borealis.front.front import Front


class Farewell:
    """Owns the descriptor, which no poller knows any more."""

    __slots__ = ("_descriptor", "_front", "_is_closed", "_timer", "_unsent", "_waits")

    def __init__(self, front: Front, descriptor: int, last: bytes, *, waits: bool) -> None:
        self._front = front
        self._descriptor = descriptor
        self._unsent = last
        self._waits = waits
        self._is_closed = False
        self._timer: Timer | None = None

    def start(self) -> None:
        try:
            if self._unsent:
                self._unsent = write_some(self._descriptor, self._unsent)
        except PeerGone:
            self._waits = False
        if not self._waits:
            self._is_closed = True
            os.close(self._descriptor)
            return
        front = self._front
        front.farewells += 1
        if not self._unsent:
            stop_writing(self._descriptor)
        front.poller.add(self._descriptor, self, READ | (WRITE if self._unsent else 0))
        self._timer = front.poller.call_at(front.poller.now_ns + front.settings.farewell_ns, self._close)

    def ready(self, events: int) -> None:
        try:
            if events & WRITE and self._unsent:
                self._unsent = write_some(self._descriptor, self._unsent)
                if not self._unsent:
                    stop_writing(self._descriptor)
                    self._front.poller.listen(self._descriptor, READ)
            if events & ~WRITE:
                read_some(self._descriptor, self._front.settings.receive_bytes)
        except PeerGone:
            self._close()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._front.farewells -= 1
            self._front.poller.remove(self._descriptor)
            os.close(self._descriptor)

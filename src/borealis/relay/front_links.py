"""Connections to the fronts: sessions go over them, with their sockets, and cancel requests.

One request after the other on a connection (docs/formats.md, "Session hand-over"), so each front has as many as it
needs at a time, up to a bound; they stay open for the next. Promises: the frame of a hand-over, which holds keys, is
overwritten before anything else happens; and what is not known to have been refused is never offered again: two fronts
that encrypt with the same keys and the same sequence numbers would give the keys away.
"""

import array
import asyncio
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from borealis.foundation.errors import Rejected, Unavailable, Unknown
from borealis.tls import cleanse
from borealis.wire.frames import Frame, FrameReader
from borealis.wire.handover import ANSWER_LIMITS, CancelRequest, Refusal, decode_hand_over_answer, encode_cancel

LINKS_MAX: Final = 16
"""Connections to one front."""
WAITING_MAX: Final = 10_000
"""Sessions that wait for one of them."""
ANSWER_SECONDS_MAX: Final = 30.0
_ANSWER_BYTES: Final = 8192


class FrontLink:
    """One connection; broken once anything has gone wrong on it."""

    def __init__(self, connection: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._reader = FrameReader(ANSWER_LIMITS)
        self._answer: asyncio.Future[Frame] | None = None
        self.is_broken = False
        self._loop.add_reader(connection, self._read)

    @classmethod
    def open(cls, path: Path) -> "FrontLink":
        """Raises Unavailable. Connecting to a Unix socket succeeds or fails at once."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            raise Unavailable(f"a front cannot be reached: {error.strerror}") from error
        return cls(connection)

    async def take(self, frame: bytearray, client: int) -> Refusal | None:
        """Hand a session over; None once the front has it. Overwrites the frame.

        Raises Unavailable if it has certainly not been received, Unknown if it may have been."""
        answer: asyncio.Future[Frame] | None = None
        deadline: asyncio.TimerHandle | None = None
        try:
            with memoryview(frame) as view:
                sent = self._send_first(view, client)
                answer = self._answer = self._loop.create_future()
                deadline = self._loop.call_later(ANSWER_SECONDS_MAX, self._give_up, TimeoutError())
                if sent < len(view):
                    await self._loop.sock_sendall(self._connection, view[sent:])
            cleanse(frame)
            received = await answer
            return decode_hand_over_answer(received.type, received.payload)
        except (OSError, TimeoutError, Rejected) as error:
            raise Unknown("a front went away, or mad, while it took a session") from error
        finally:
            cleanse(frame)
            if deadline is not None:
                deadline.cancel()
            self._answer = None
            if answer is not None and (answer.cancelled() or not answer.done()):
                self.close()  # an answer may still come, and would be taken for the next one's

    def _send_first(self, view: memoryview, client: int) -> int:
        try:
            return self._connection.sendmsg(
                [view], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client]))]
            )
        except OSError as error:  # not one byte has been sent
            self.close()
            raise Unavailable(f"a front takes no session: {error.strerror}") from error

    def cancel(self, request: CancelRequest) -> None:
        """Never answered. Raises Unavailable."""
        frame = encode_cancel(request)
        try:
            sent = self._connection.send(frame)
        except OSError as error:
            self.close()
            raise Unavailable(f"a front takes no cancel request: {error.strerror}") from error
        if sent != len(frame):
            self.close()
            raise Unavailable("a front takes no cancel request")

    def _read(self) -> None:
        try:
            data = self._connection.recv(_ANSWER_BYTES)
            if not data:
                raise ConnectionResetError
            frames = self._reader.feed(data)
            if frames:
                if len(frames) > 1 or self._answer is None or self._answer.done():
                    raise ConnectionAbortedError
                self._answer.set_result(frames[0])
        except BlockingIOError:
            return
        except (OSError, Rejected) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        if not self.is_broken:
            self.is_broken = True
            self._loop.remove_reader(self._connection)
            self._connection.close()


class FrontLinks:
    """Those to one front."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[FrontLink] = deque()
        self._count = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, seal: Callable[[], bytearray], client: int) -> Refusal | None:
        """As `FrontLink.take`; the frame is sealed when there is a connection for it."""
        link = await self._acquire()
        try:
            return await link.take(seal(), client)
        finally:
            self._release(link)

    async def cancel(self, request: CancelRequest) -> None:
        link = await self._acquire()
        try:
            link.cancel(request)
        finally:
            self._release(link)

    async def _acquire(self) -> FrontLink:
        while True:
            while self._idle:
                link = self._idle.pop()  # the warmest; cold ones are found broken here
                if not link.is_broken:
                    return link
                self._count -= 1
            if self._count < LINKS_MAX:
                return self._open()
            if len(self._waiting) >= WAITING_MAX:
                raise Unavailable("too many sessions wait for a front")
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # the turn was given, and will not be used
                raise

    def _open(self) -> FrontLink:
        try:
            link = FrontLink.open(self._path)
        except Unavailable:
            self._wake()  # each of those that wait finds that out for itself
            raise
        self._count += 1
        return link

    def _release(self, link: FrontLink) -> None:
        if link.is_broken:
            self._count -= 1
        else:
            self._idle.append(link)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    @property
    def is_empty(self) -> bool:
        """Nothing but broken connections is left."""
        return self._count == len(self._idle) and all(link.is_broken for link in self._idle)

    def close(self) -> None:
        for link in self._idle:
            link.close()

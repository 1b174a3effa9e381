"""One session's bytes on a channel, and copying them from and to a socket."""

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from borealis.wire.channel_frames import DATA_BYTES_MAX, SessionNumber
from borealis.wire.frames import Octets

if TYPE_CHECKING:
    from borealis.channel.connection import Channel

LINGER_SECONDS: Final = 10.0
"""For the last bytes of a session whose peer has ended it, before its socket is closed."""
_RECEIVE_BYTES: Final = 2**16


class ChannelStream:
    """For one reader and one writer. Ends with the session, or with the channel."""

    __slots__ = ("_channel", "_chunks", "_number", "_reader", "_writer", "has_ended")

    def __init__(self, channel: "Channel", number: SessionNumber) -> None:
        self._channel = channel
        self._number = number
        self._chunks: deque[Octets] = deque()
        self.has_ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def read(self) -> Octets:
        """What has come, at least one byte; b"" at the end. That it was read is what lets the peer send more."""
        while not self._chunks:
            if self.has_ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        chunk = self._chunks.popleft()
        self._channel.passed_on(self._number, len(chunk))
        return chunk

    async def write(self, data: bytes) -> None:
        """Sends all of it, as fast as the peer takes it. Raises ConnectionResetError once the session has ended."""
        at = 0
        while at < len(data):
            if self.has_ended:
                raise ConnectionResetError("the session on the channel has ended")
            size = min(len(data) - at, DATA_BYTES_MAX, self._channel.sendable(self._number))
            if size:
                self._channel.send_data(self._number, memoryview(data)[at : at + size])
                at += size
                await self._channel.drained()
            else:
                self._writer = asyncio.get_running_loop().create_future()
                await self._writer

    def close(self) -> None:
        """Ends the session at both ends; what was written before still arrives."""
        self._channel.end_session(self._number)
        self.end()

    def take(self, data: Octets) -> None:
        """For the channel: data has come."""
        self._chunks.append(data)
        _wake(self._reader)

    def go_on(self) -> None:
        """For the channel: more may be sent."""
        _wake(self._writer)

    def end(self) -> None:
        """For the channel: nothing comes any more, and nothing can be sent."""
        self.has_ended = True
        _wake(self._reader)
        _wake(self._writer)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def forward(connection: socket.socket, stream: ChannelStream) -> None:
    """Copies both ways until either side ends, and ends both; takes over the (non-blocking) socket.

    What the channel has delivered before its end is written to the socket first. The bytes mean nothing here.
    """
    inward = asyncio.create_task(_from_socket(connection, stream))
    outward = asyncio.create_task(_to_socket(connection, stream))
    try:
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        if stream.has_ended and not outward.done():
            await asyncio.wait((outward,), timeout=LINGER_SECONDS)
    finally:
        # Whoever reads the end of one side has nobody left to copy the other side's bytes to.
        stream.close()
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)
        connection.close()


async def _from_socket(connection: socket.socket, stream: ChannelStream) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(connection, _RECEIVE_BYTES):
        await stream.write(data)


async def _to_socket(connection: socket.socket, stream: ChannelStream) -> None:
    loop = asyncio.get_running_loop()
    while data := await stream.read():
        await loop.sock_sendall(connection, data)

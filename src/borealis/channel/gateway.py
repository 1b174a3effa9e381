"""The end of a channel on the front's host: hands sessions that come over it to the fronts there.

A front is handed a remote session as if it came from a relay on its own host: with a socket, the other end of which is
here and is copied from and to the channel. So fronts know nothing of channels.
"""

import array
import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Final

from borealis.channel.connection import Channel, serve_channels
from borealis.channel.stream import forward
from borealis.foundation.errors import Malformed, Rejected
from borealis.tls import cleanse
from borealis.tls.handshake import ChannelContext
from borealis.wire.channel_frames import SessionNumber
from borealis.wire.frames import FRAME_HEADER_BYTES, FrameReader, Octets, encode_frame_header
from borealis.wire.handover import (
    ANSWER_LIMITS,
    CancelRequest,
    HandOver,
    HandOverFrame,
    Refusal,
    decode_hand_over,
    decode_hand_over_answer,
    encode_cancel,
)

HAND_OVER_SECONDS: Final = 15.0
"""From the offer to the front's answer."""
_UNREACHABLE: Final = Refusal("57P03", "unable to accept connection, the query processor cannot be reached")

_log = logging.getLogger(__name__)

FindFront = Callable[[HandOver], Awaitable[Path | Refusal]]
"""The socket of the front that is to take a session."""
FindFrontOfSession = Callable[[CancelRequest], Path | None]
"""The socket of the front that a cancel request is for."""


class Gateway:
    """Takes channels from other hosts' relays."""

    def __init__(
        self, context: ChannelContext, find_front: FindFront, find_front_of_session: FindFrontOfSession
    ) -> None:
        self._context = context
        self._find_front = find_front
        self._find_front_of_session = find_front_of_session
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """The port that is listened on."""
        self._server = await serve_channels(host, port, self._context, self._on_offer, self._on_cancel)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """No new channels; the sessions end."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_offer(self, channel: Channel, number: SessionNumber, payload: Octets) -> None:
        self._keep(self._serve(channel, number, payload))

    def _on_cancel(self, request: CancelRequest) -> None:
        path = self._find_front_of_session(request)
        if path is not None:
            self._keep(_cancel(path, request))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel, number: SessionNumber, payload: Octets) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            try:
                with theirs:
                    refusal = await self._offer_to_front(payload, theirs)
            except Malformed as error:
                channel.fail(str(error))
                return
            except (OSError, TimeoutError, Rejected) as error:
                _log.warning("a front does not answer: %s", error)
                refusal = _UNREACHABLE
            if refusal is None:
                await forward(ours, channel.take(number))
            else:
                channel.refuse(number, refusal)

    async def _offer_to_front(self, payload: Octets, client: socket.socket) -> Refusal | None:
        frame = bytearray(FRAME_HEADER_BYTES + len(payload))
        frame[:FRAME_HEADER_BYTES] = encode_frame_header(HandOverFrame.TAKE, 0, len(payload))
        frame[FRAME_HEADER_BYTES:] = payload
        try:
            hand_over, _ = decode_hand_over(memoryview(frame)[FRAME_HEADER_BYTES:])
            async with asyncio.timeout(HAND_OVER_SECONDS):
                front = await self._find_front(hand_over)
                if isinstance(front, Refusal):
                    return front
                return await _hand_over(front, frame, client)
        finally:
            cleanse(frame)


async def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


async def _hand_over(path: Path, frame: bytearray, client: socket.socket) -> Refusal | None:
    """The front's refusal, or None if it has taken the session."""
    loop = asyncio.get_running_loop()
    with await _connect(path) as connection:
        # The socket is new and its buffer empty: the first piece goes out at once.
        descriptor = array.array("i", [client.fileno()])
        sent = connection.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
        if sent < len(frame):
            with memoryview(frame) as whole, whole[sent:] as rest:
                await loop.sock_sendall(connection, rest)
        reader = FrameReader(ANSWER_LIMITS)
        while data := await loop.sock_recv(connection, 2**13):
            for answer in reader.feed(data):
                return decode_hand_over_answer(answer.type, answer.payload)
    raise ConnectionResetError("the front hung up")


async def _cancel(path: Path, request: CancelRequest) -> None:
    try:
        async with asyncio.timeout(HAND_OVER_SECONDS):
            with await _connect(path) as connection:
                await asyncio.get_running_loop().sock_sendall(connection, encode_cancel(request))
    except (OSError, TimeoutError) as error:
        _log.warning("a cancel request did not reach its front: %s", error)

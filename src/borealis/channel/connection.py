"""A channel: one TLS connection between two of our own hosts, with many sessions on it.

The asyncio shell around the handshake and record layer (`borealis.tls`) and the multiplexer. Whatever breaks a rule,
of TLS or of the channel, ends the channel with all its sessions; the other channels do not notice.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from typing import Final, cast

from borealis.channel.multiplexer import (
    Answered,
    Cancelled,
    Closed,
    Credited,
    Event,
    Multiplexer,
    Offered,
    Received,
)
from borealis.channel.stream import ChannelStream
from borealis.foundation.errors import BorealisError, Rejected, Unavailable
from borealis.tls import TlsError, TlsSession, cleanse
from borealis.tls.handshake import ChannelContext, ChannelHandshake
from borealis.wire.channel_frames import SessionNumber
from borealis.wire.frames import Octets
from borealis.wire.handover import CancelRequest, Refusal, encode_cancel

HANDSHAKE_SECONDS: Final = 10.0
"""From the connection to the end of the handshake."""
_HANDSHAKE_PIECE_BYTES: Final = 2**13
# A host that has vanished without a word is noticed within about half a minute.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}

_log = logging.getLogger(__name__)

OnOffer = Callable[["Channel", SessionNumber, Octets], None]
OnCancel = Callable[[CancelRequest], None]


class ChannelLost(BorealisError):  # noqa: N818 - named as the kinds of error are
    """The channel ended while the peer had an offer that it had not answered: nobody knows whether it was taken."""


class Channel(asyncio.Protocol):
    """One end. `connect_channel` makes the end that offers sessions, `serve_channels` the ones that take them."""

    def __init__(
        self,
        context: ChannelContext,
        server_name: str = "",
        *,
        on_offer: OnOffer | None = None,
        on_cancel: OnCancel | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._handshake = ChannelHandshake(context, server_name)
        self._connects = context.connects
        self._multiplexer = Multiplexer(opens=context.connects)
        self._on_offer = on_offer
        self._on_cancel = on_cancel
        self._transport: asyncio.Transport | None = None
        self._tls: TlsSession | None = None
        self._streams: dict[SessionNumber, ChannelStream] = {}
        self._answers: dict[SessionNumber, asyncio.Future[Refusal | None]] = {}
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_ready: asyncio.Future[None] = loop.create_future()
        self._is_lost: asyncio.Future[None] = loop.create_future()
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, self.fail, "the handshake takes too long")

    # What the owner of a channel calls.

    async def ready(self) -> None:
        """Once the other host is known. Raises Unavailable."""
        await asyncio.shield(self._is_ready)

    async def lost(self) -> None:
        """Once the channel has ended."""
        await asyncio.shield(self._is_lost)

    @property
    def is_lost(self) -> bool:
        return self._is_lost.done()

    async def hand_over(self, frame: bytearray) -> ChannelStream | Refusal:
        """Offers a session: `frame` is a TAKE with its TLS state, and is overwritten.

        The stream carries what goes between the client's socket and the front, which alone can read it. After a refusal
        the keys have not been used. Raises Unavailable if the offer was not made, ChannelLost if nobody knows.
        """
        if self._tls is None or self.is_lost:
            cleanse(frame)
            raise Unavailable("the channel to the other host is not open")
        try:
            number = self._multiplexer.offer(frame)
            sealed = self._tls.encrypt_buffer(frame)
        except (ValueError, TlsError) as error:
            raise Unavailable(str(error)) from error
        finally:
            cleanse(frame)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        stream = self._streams[number] = ChannelStream(self, number)
        self._write(sealed)
        try:
            refusal = await answer
        except BaseException:
            # Nobody waits for this session any more: should it be taken, it ends.
            stream.close()
            raise
        finally:
            self._answers.pop(number, None)
        return stream if refusal is None else refusal

    def cancel(self, request: CancelRequest) -> None:
        """Passes a cancel request on; it is never answered."""
        self._send(encode_cancel(request))

    def take(self, number: SessionNumber) -> ChannelStream:
        """The answer to an offer: from now on its bytes come and go."""
        stream = self._streams.get(number)
        if stream is None:
            stream = ChannelStream(self, number)
            stream.end()
            return stream
        self._send(self._multiplexer.take(number))
        return stream

    def refuse(self, number: SessionNumber, refusal: Refusal) -> None:
        self._streams.pop(number, None)
        self._send(self._multiplexer.refuse(number, refusal))

    def close(self) -> None:
        """Ends the channel and all of its sessions."""
        if self._tls is not None:
            self._write(self._tls.close_notify())
        if self._transport is not None:
            self._transport.close()

    # What its streams call.

    def sendable(self, number: SessionNumber) -> int:
        return self._multiplexer.sendable(number)

    def send_data(self, number: SessionNumber, data: Octets) -> None:
        self._send(self._multiplexer.send(number, data))

    def passed_on(self, number: SessionNumber, count: int) -> None:
        self._send(self._multiplexer.passed_on(number, count))

    def end_session(self, number: SessionNumber) -> None:
        self._streams.pop(number, None)
        self._send(self._multiplexer.close(number))

    async def drained(self) -> None:
        """Once the socket has taken enough of what was written."""
        await self._drained.wait()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        _watch_for_silence(transport.get_extra_info("socket"))
        if self._connects:
            self._transport.write(self._handshake.start())

    def data_received(self, data: bytes) -> None:
        try:
            if self._tls is None:
                data = self._shake_hands(data)
            if self._tls is None:
                return
            events = self._multiplexer.receive(self._tls.decrypt(data))
        except TlsError as error:
            self._write(error.alert)
            self.fail(str(error))
        except Rejected as error:
            self.fail(str(error))
        else:
            for event in events:
                self._handle(event)
            if self._tls.peer_closed:
                self.close()

    def _shake_hands(self, data: bytes) -> bytes:
        """The bytes behind the handshake, once it is done."""
        while data and not self._handshake.is_done:
            piece, data = data[:_HANDSHAKE_PIECE_BYTES], data[_HANDSHAKE_PIECE_BYTES:]
            self._write(self._handshake.feed(piece))
        if self._handshake.is_done:
            self._tls = self._handshake.finish()
            self._deadline.cancel()
            if not self._is_ready.done():
                self._is_ready.set_result(None)
        return data

    def _handle(self, event: Event) -> None:
        match event:
            case Received(number, data):
                if number in self._streams:
                    self._streams[number].take(data)
            case Credited(number):
                if number in self._streams:
                    self._streams[number].go_on()
            case Closed(number):
                if number in self._streams:
                    self._streams.pop(number).end()
                if number in self._answers and not self._answers[number].done():
                    self._answers[number].set_exception(ChannelLost("the other host closed the session"))
            case Answered(number, refusal):
                if refusal is not None:
                    self._streams.pop(number, None)
                if number in self._answers and not self._answers[number].done():
                    self._answers[number].set_result(refusal)
            case Offered(number, payload):
                assert self._on_offer is not None
                self._streams[number] = ChannelStream(self, number)
                self._on_offer(self, number, payload)
            case Cancelled(request):
                if self._on_cancel is not None:
                    self._on_cancel(request)

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        self._drained.set()
        for stream in list(self._streams.values()):
            stream.end()
        self._streams.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ChannelLost("the channel to the other host was lost"))
        if not self._is_ready.done():
            self._is_ready.set_exception(Unavailable(f"no channel to the other host: {error or 'it hung up'}"))
            self._is_ready.exception()  # asked for or not
        if not self._is_lost.done():
            self._is_lost.set_result(None)
        self._handshake.close()
        if self._tls is not None:
            self._tls.close()

    def fail(self, reason: str) -> None:
        """The peer broke a rule: the channel ends here."""
        _log.warning("channel ended: %s", reason)
        if not self._is_ready.done():
            self._is_ready.set_exception(Unavailable(f"no channel to the other host: {reason}"))
            self._is_ready.exception()
        self.close()

    def _send(self, frame: bytes) -> None:
        if frame and self._tls is not None and not self.is_lost:
            self._write(self._tls.encrypt(frame))

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _watch_for_silence(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        for name, value in _KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def connect_channel(host: str, port: int, context: ChannelContext, server_name: str) -> Channel:
    """A channel to the host whose certificate has this name. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            _, channel = await loop.create_connection(lambda: Channel(context, server_name), host, port)
    except OSError as error:
        raise Unavailable(f"no channel to {server_name}: {error}") from error
    await channel.ready()
    return channel


async def serve_channels(
    host: str, port: int, context: ChannelContext, on_offer: OnOffer, on_cancel: OnCancel
) -> asyncio.Server:
    """Accepts channels. `on_offer` answers each offered session, at once or later, with `take` or `refuse`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Channel(context, on_offer=on_offer, on_cancel=on_cancel), host, port, reuse_address=True
    )

"""One client of the API: HTTP/1.1 over a stream, one request at a time, with a bound on everything.

h11 knows the protocol, this knows the socket and the clock. Promises: a client that is slow, silent, too long or not
speaking HTTP costs a bounded amount of memory for a bounded time and nothing else; requests of one connection are
answered in order. What a request means is none of its business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, cast

import h11

from borealis.control.answers import HttpAnswer, encode_error
from borealis.control.errors import cannot_parse
from borealis.control.http_request import HttpRequest

HEAD_BYTES_MAX: Final = 32 * 1024
BODY_BYTES_MAX: Final = 256 * 1024
_UNSENT_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True)
class TimeLimits:
    """Seconds from the first byte of a request to its last, from an answer to the next request, and until a client has
    taken the last answer."""

    request_s: float = 15.0
    idle_s: float = 60.0
    take_s: float = 15.0


Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


class HttpConnection(asyncio.Protocol):
    """`used` hears of its beginning and of each answer, `closed` of its end; `answer` raises only what ends the
    process."""

    def __init__(
        self,
        answer: Handler,
        used: "Callable[[HttpConnection], None]",
        closed: "Callable[[HttpConnection], None]",
        limits: TimeLimits,
    ) -> None:
        self._answer = answer
        self._used = used
        self._closed = closed
        self._limits = limits
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_ending = False
        # No byte of a request has come: yet, or since the last answer.
        self._is_idle = True
        # Nothing is answered any more, the client's end is awaited.
        self._is_draining = False
        self._peer: tuple[str | None, int | None] = (None, None)

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        transport.set_write_buffer_limits(high=_UNSENT_BYTES_MAX)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            # IPv4 that came to a socket of IPv6 is IPv4.
            self._peer = (peer[0].removeprefix("::ffff:"), peer[1])
        self._used(self)
        self._wait(self._limits.request_s)

    def data_received(self, data: bytes) -> None:
        if self._is_draining:
            return
        if self._is_idle:  # the first bytes of a request: from now on it has its time, however slowly it comes
            self._is_idle = False
            self._wait(self._limits.request_s)
        self._protocol.receive_data(data)
        self._read()

    def eof_received(self) -> bool:
        if self._is_draining:
            return False
        self._protocol.receive_data(b"")
        self._read()
        # An answer that is on its way may still be sent; TLS knows no half-open connections.
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._stop_waiting()
        self._transport = None
        self._closed(self)

    # Requests

    def _read(self) -> None:
        """Take what is complete. Nothing is read ahead while a request is being answered."""
        try:
            while self._task is None and self._transport is not None and not self._is_ending:
                event = self._protocol.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    self._encourage()
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            self._refuse(str(error), error.error_status_hint)

    def _take(self, event: object) -> None:
        match event:
            case h11.Request():
                self._head = event
            case h11.Data():
                self._body += event.data
                if len(self._body) > BODY_BYTES_MAX:
                    self._refuse(f"The body is longer than {BODY_BYTES_MAX} bytes.", 413)
            case h11.EndOfMessage():
                self._dispatch()
            case h11.ConnectionClosed():
                self._end()

    def _encourage(self) -> None:
        if self._protocol.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))

    def _dispatch(self) -> None:
        assert self._head is not None
        assert self._transport is not None
        self._stop_waiting()
        self._transport.pause_reading()
        request = HttpRequest(
            method=self._head.method.decode("latin-1"),
            target=self._head.target.decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._head.headers),
            body=bytes(self._body),
            source_ip=self._peer[0],
            source_port=self._peer[1],
        )
        self._head = None
        self._body.clear()
        self._task = asyncio.get_running_loop().create_task(self._respond(request))

    async def _respond(self, request: HttpRequest) -> None:
        answer = await self._answer(request)
        self._task = None
        if self._transport is None:
            return
        self._write(answer)
        if self._protocol.our_state is h11.MUST_CLOSE or self._is_ending:
            self._end()
            return
        self._protocol.start_next_cycle()
        self._used(self)
        self._is_idle = not self._protocol.trailing_data[0]
        self._wait(self._limits.idle_s if self._is_idle else self._limits.request_s)
        self._transport.resume_reading()
        self._read()

    # Answers

    def _write(self, answer: HttpAnswer) -> None:
        headers = [
            ("date", formatdate(usegmt=True)),
            ("content-type", "application/json"),
            ("content-length", str(len(answer.body))),
            *answer.headers,
        ]
        if self._is_ending:
            headers.append(("connection", "close"))
        self._send(
            h11.Response(status_code=answer.status, headers=headers), h11.Data(data=answer.body), h11.EndOfMessage()
        )

    def _refuse(self, text: str, status: int) -> None:
        """The client does not speak HTTP, or too much of it: an answer, if one is still possible, and the end."""
        self._is_ending = True
        if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = encode_error(cannot_parse(text))
            self._write(HttpAnswer(status, answer.headers, answer.body))
        self._drain()

    def _send(self, *events: h11.Event) -> None:
        """In one packet, if they fit."""
        data = b"".join(self._protocol.send(event) or b"" for event in events)
        if data and self._transport is not None:
            self._transport.write(data)

    # The end

    @property
    def is_idle(self) -> bool:
        return self._is_idle

    def abort(self) -> None:
        """Now, without another byte."""
        if self._transport is not None:
            self._transport.abort()

    def stop(self) -> None:
        """Answer what is being answered, take nothing more."""
        self._is_ending = True
        if self._task is None:
            self._end()
            if self._is_idle:
                # It has its answers. TLS would wait for its farewell, which a client that is not looking does not say.
                self.abort()

    def _end(self) -> None:
        if self._transport is not None:
            self._is_ending = True
            self._transport.close()  # what was written is sent first
            self._wait(self._limits.take_s)

    def _drain(self) -> None:
        """What a client is still sending is thrown away: to close now would take the answer from it (TCP's reset)."""
        if self._transport is None or not self._transport.can_write_eof():
            self._end()
            return
        self._is_draining = True
        self._transport.write_eof()
        self._wait(self._limits.take_s)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

"""The listening socket: how many clients there are at once, and who has to go when there are too many.

Promises that connections are bounded from the moment they are accepted, half handshakes included, and that those who
hold one without using it make room for those who come: the one that was idle for longest goes first, then the oldest
handshake. Only requests on their way keep others out, and their time is short.
"""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from typing import Final

from borealis.control.http_connection import Handler, HttpConnection, TimeLimits
from borealis.foundation.errors import Unavailable

_log = logging.getLogger("listener")
_BACKLOG: Final = 128
_HANDSHAKE_S: Final = 10.0
# After the operating system refused to accept (no file descriptors).
_PAUSE_S: Final = 0.1


class Listener:
    def __init__(
        self, answer: Handler, limits: TimeLimits, connections_max: int, context: ssl.SSLContext | None
    ) -> None:
        self._answer = answer
        self._limits = limits
        self._connections_max = connections_max
        self._context = context
        # In the order in which they came or were last used.
        self._connections: dict[HttpConnection, None] = {}
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._is_empty = asyncio.Event()

    def open(self, address: str, port: int) -> tuple[str, int]:
        """Where it listens; `::` stands for IPv4 as well. Raises Unavailable."""
        try:
            family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
            listening = socket.create_server(
                (address, port), family=family, backlog=_BACKLOG, dualstack_ipv6=address == "::"
            )
        except OSError as error:
            raise Unavailable(f"cannot listen on {address}, port {port}: {error.strerror}") from error
        listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(listening))
        host, chosen = listening.getsockname()[:2]
        return host, chosen

    def replace_context(self, context: ssl.SSLContext | None) -> None:
        """For handshakes that begin from now on."""
        self._context = context

    async def close(self, wait_s: float) -> None:
        """Accept no more; let those who are being answered have their answers, for so long."""
        if self._accepting is not None:
            self._accepting.cancel()
        for task in self._handshakes:
            task.cancel()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            self._is_empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), wait_s)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listening)
                except OSError as error:
                    _log.warning("a connection could not be accepted: %s", error)
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if self._make_room():
                    self._begin(accepted)
                else:
                    accepted.close()
                # A queue of clients is accepted without a pause otherwise, and nobody's request is read meanwhile.
                await asyncio.sleep(0)

    def _make_room(self) -> bool:
        if len(self._connections) + len(self._handshakes) < self._connections_max:
            return True
        for idle in self._connections:
            if idle.is_idle:
                del self._connections[idle]
                idle.abort()
                return True
        for handshake in self._handshakes:
            del self._handshakes[handshake]
            handshake.cancel()
            return True
        return False

    def _begin(self, accepted: socket.socket) -> None:
        # asyncio does it only for sockets that were made with their protocol's number.
        with suppress(OSError):  # its client is gone already
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(self._connect(accepted))
        self._handshakes[task] = None
        task.add_done_callback(lambda ended: self._handshakes.pop(ended, None))

    async def _connect(self, accepted: socket.socket) -> None:
        """A client that cannot do TLS is its own problem."""
        handshake = asyncio.current_task()

        def use(connection: HttpConnection) -> None:
            if handshake is not None:  # it is over; the connection must not count twice
                self._handshakes.pop(handshake, None)
            self._use(connection)

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: HttpConnection(self._answer, use, self._forget, self._limits),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_S if self._context else None,
            )
        except (OSError, TimeoutError):
            accepted.close()

    def _use(self, connection: HttpConnection) -> None:
        self._connections.pop(connection, None)
        self._connections[connection] = None

    def _forget(self, connection: HttpConnection) -> None:
        self._connections.pop(connection, None)
        if not self._connections:
            self._is_empty.set()

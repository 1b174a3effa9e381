"""The shell of the relay: listening sockets, visitors, timers, signals; every decision is made elsewhere.

One process serves one port with one event loop. Nothing is global: several relays may listen on one address
(SO_REUSEPORT), each with its own bounds. Accepting pauses, and the backlog of the kernel waits, while there is no room
for another connection or no file descriptor to spare.
"""

import asyncio
import errno
import gc
import logging
import resource
import signal
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Final

from borealis.channel import ChannelStream, forward
from borealis.foundation.errors import Unknown
from borealis.relay import refusals
from borealis.relay.dialogue import LetIn
from borealis.relay.gatekeeper import Gatekeeper
from borealis.relay.hand_over import HandOvers
from borealis.relay.limits import network_of
from borealis.relay.reception import Reception
from borealis.relay.settings import Settings
from borealis.relay.startup_packet import CancelRequest
from borealis.relay.visitor import Visitor, parse_address
from borealis.tls import ServerContext, ServerHandshake, TlsError

_log = logging.getLogger("relay")
BACKLOG: Final = 4096
_ACCEPTED_AT_ONCE_MAX: Final = 64
_TICK_SECONDS: Final = 0.5
_ACCEPT_PAUSE_SECONDS: Final = 0.05
_RESERVED_DESCRIPTORS: Final = 256
"""For links to fronts, files, the host's socket."""
_STOP_SECONDS_MAX: Final = 5.0


def open_listeners(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Bound and listening; what they accept inherits TCP_NODELAY and keep-alive. `::` stands for IPv4 as well, unless
    an address of that is among them."""
    listeners = []
    has_ipv4 = any(":" not in address for address in addresses)
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        listeners.append(listener)
        for level, option in (
            (socket.SOL_SOCKET, socket.SO_REUSEADDR),
            (socket.SOL_SOCKET, socket.SO_REUSEPORT),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        ):
            listener.setsockopt(level, option, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::" or has_ipv4)
        listener.bind((address, port))
        port = listener.getsockname()[1]  # all of them on the same, also when any would do
        listener.listen(BACKLOG)
    return listeners


def raise_descriptor_limit() -> int:
    """The soft limit to the hard one; answers how many descriptors there may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**20


class RelayServer:
    """The desk that visitors report to."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        gatekeeper: Gatekeeper,
        hand_overs: HandOvers,
        descriptors_max: int,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._gatekeeper = gatekeeper
        self._hand_overs = hand_overs
        self._loop = asyncio.get_running_loop()
        self._context = ServerContext(settings.certificate, settings.private_key)
        self._connections_max = descriptors_max - _RESERVED_DESCRIPTORS
        self._reception: Reception[Visitor] = Reception(settings.reception)
        self._moving: dict[Visitor, asyncio.Task[None]] = {}
        self._forwarding: set[asyncio.Task[None]] = set()
        self._is_accepting = False
        self._pause: asyncio.TimerHandle | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()

    # Accepting

    def _accept_again(self) -> None:
        self._pause = None
        if not self._is_accepting and not self._stopping.is_set():
            self._is_accepting = True
            for listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)

    def _stop_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _rest(self) -> None:
        self._stop_accepting()
        if self._pause is None:
            self._pause = self._loop.call_later(_ACCEPT_PAUSE_SECONDS, self._accept_again)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE_MAX):
            now_ns = time.monotonic_ns()
            if not self._make_room(now_ns):
                self._rest()
                return
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                _log.warning("no connection can be accepted: %s", error.strerror)
                self._rest()
                return
            self._receive(connection, peer, now_ns)

    def _make_room(self, now_ns: int) -> bool:
        reception = self._reception
        held = len(reception) + len(self._moving) + len(self._forwarding)
        if not reception.is_full and held < self._connections_max:
            return True
        oldest = reception.to_make_way(now_ns)
        if oldest is None:
            return False
        oldest.break_off(refusals.TOO_MANY_PENDING)
        return True

    def _receive(self, connection: socket.socket, peer: tuple[str, int], now_ns: int) -> None:
        connection.setblocking(False)
        address = parse_address(peer[0])
        gate = self._gatekeeper.gate(address, peer[1])
        visitor = Visitor(connection, address, peer[1], gate, self._make_handshake, self)
        visitor.start()
        network = network_of(address)
        if self._reception.is_full_of(network):
            oldest = self._reception.to_make_way(now_ns, network)
            (oldest or visitor).break_off(refusals.TOO_MANY_PENDING)
        if visitor.is_open:
            self._reception.enter(visitor, network, now_ns)
            self._watch_time()

    def _make_handshake(self, is_direct: bool) -> ServerHandshake:
        return ServerHandshake(self._context, is_direct=is_direct)

    # Time

    def _watch_time(self) -> None:
        if self._tick_handle is None:
            self._tick_handle = self._loop.call_later(_TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        """Runs while anybody is here: an idle relay costs no cycles."""
        self._tick_handle = None
        for visitor in self._reception.due(time.monotonic_ns()):
            visitor.expire()
        self._hand_overs.forget_unused()
        if len(self._reception):
            self._watch_time()

    # What visitors report

    def note_first_byte(self, visitor: Visitor) -> None:
        self._reception.note_first_byte(visitor)

    def note_last_word(self, visitor: Visitor) -> None:
        self._reception.note_last_word(visitor, time.monotonic_ns())

    def let_in(self, visitor: Visitor, arrival: LetIn) -> None:
        self._reception.leave(visitor)
        self._move(visitor, self._bring(visitor, arrival))

    def cancel(self, visitor: Visitor, request: CancelRequest) -> None:
        self._move(visitor, self._cancel(visitor, request))

    def left(self, visitor: Visitor) -> None:
        self._reception.leave(visitor)

    # Moving sessions to their fronts

    def _move(self, visitor: Visitor, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._moving[visitor] = task
        task.add_done_callback(lambda done: self._moved(visitor, done))

    def _moved(self, visitor: Visitor, task: asyncio.Task[None]) -> None:
        del self._moving[visitor]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a session could not be handed over", exc_info=error)
            visitor.close()

    async def _bring(self, visitor: Visitor, arrival: LetIn) -> None:
        try:
            refusal = await self._hand_overs.bring(visitor, arrival)
        except Unknown as error:
            _log.error("a session is lost: %s", error)
            visitor.gate.report(refusals.SERVER_UNAVAILABLE)
            visitor.close()
            return
        if isinstance(refusal, ChannelStream):
            visitor.gate.report(None)
            self._forward(visitor.detach(), refusal)
            return
        visitor.gate.report(refusal)
        if refusal is None:
            visitor.close()
        else:
            self._reception.enter(visitor, network_of(visitor.address), time.monotonic_ns())
            visitor.say_farewell(refusal)
            self._watch_time()

    def _forward(self, connection: socket.socket, stream: ChannelStream) -> None:
        """Until the session's end: the bytes mean nothing here."""
        task = self._loop.create_task(forward(connection, stream))
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def _cancel(self, visitor: Visitor, request: CancelRequest) -> None:
        await self._hand_overs.cancel(request)
        visitor.dismiss()

    # Life

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._renew_certificate)
        self._accept_again()
        gc.collect()
        gc.freeze()
        print(f"port {self._listeners[0].getsockname()[1]}\nready", flush=True)
        await self._stopping.wait()
        await self._stop()

    def _renew_certificate(self) -> None:
        """Handshakes under way go on with the former one; so does everybody, if the new one cannot be used."""
        try:
            self._context.replace_certificate(self._settings.certificate, self._settings.private_key)
        except TlsError as error:
            _log.error("the certificate stays as it was: %s", error)
        else:
            _log.info("the certificate has been read anew")

    async def _stop(self) -> None:
        """Sessions that were let in still reach their fronts. Those that have not begun end, and those that are
        forwarded to other hosts."""
        self._stop_accepting()
        for listener in self._listeners:
            listener.close()
        for timer in (self._pause, self._tick_handle):
            if timer is not None:
                timer.cancel()
        for visitor in self._reception:
            if visitor not in self._moving:
                visitor.break_off(refusals.SHUTTING_DOWN)
        if self._moving:
            await asyncio.wait(self._moving.values(), timeout=_STOP_SECONDS_MAX)
        held = list(self._moving)
        for task in (*self._moving.values(), *self._forwarding):
            task.cancel()
        await asyncio.gather(*self._moving.values(), *self._forwarding, return_exceptions=True)
        for visitor in (*held, *self._reception):
            visitor.break_off(refusals.SHUTTING_DOWN)
        self._hand_overs.close()

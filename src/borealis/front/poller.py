"""The event loop: one epoll, handlers by file descriptor, a few timers.

Owns waiting and nothing else. A handler's `ready` gets the events of its descriptor; it may find that nothing is there
(the descriptor may have been reused within one round), and must not block.
"""

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Final, Protocol

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
GONE: Final = select.EPOLLHUP | select.EPOLLERR

_EVENTS_MAX: Final = 256


class Handler(Protocol):
    def ready(self, events: int) -> None: ...


class Timer:
    """A call to come. Once it is cancelled it keeps nothing alive."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Poller:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[int, int, Timer]] = []
        self._numbers = itertools.count()
        self.now_ns = time.monotonic_ns()
        """When the current round began."""

    def add(self, descriptor: int, handler: Handler, events: int) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def listen(self, descriptor: int, events: int) -> None:
        """To these events from now on."""
        self._epoll.modify(descriptor, events)

    def replace(self, descriptor: int, handler: Handler) -> None:
        """Its events go to another handler."""
        self._handlers[descriptor] = handler

    def remove(self, descriptor: int) -> None:
        """Before it is closed."""
        self._epoll.unregister(descriptor)
        del self._handlers[descriptor]

    def call_at(self, when_ns: int, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._timers, (when_ns, next(self._numbers), timer))
        return timer

    def run_once(self) -> None:
        """One round: waits until something happens, and does what follows from it."""
        handlers = self._handlers
        for descriptor, events in self._epoll.poll(self._timeout_s(), _EVENTS_MAX):
            handler = handlers.get(descriptor)
            if handler is not None:
                handler.ready(events)
        self.now_ns = time.monotonic_ns()
        while self._timers and self._timers[0][0] <= self.now_ns:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()

    def _timeout_s(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, (self._timers[0][0] - time.monotonic_ns()) / 1e9)

    def close(self) -> None:
        self._epoll.close()

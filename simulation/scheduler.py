"""Virtual time: events in order, and tasks that are generators which yield what they wait for.

Promises: the same events in the same order for the same seed. Nothing here knows wall time.
"""

import heapq
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple, TypeAlias

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000


class Sleep(NamedTuple):
    """Yield it to go on after so many nanoseconds."""

    nanoseconds: int


class Mailbox:
    """Messages for one task."""

    def __init__(self) -> None:
        self.messages: deque[Any] = deque()
        self.wake: Callable[[], None] | None = None

    def put(self, message: Any) -> None:
        self.messages.append(message)
        if self.wake is not None:
            self.wake()


class Take(NamedTuple):
    """Yield it to get the next message of a mailbox, or None after so many nanoseconds."""

    mailbox: Mailbox
    timeout: int


Step: TypeAlias = Sleep | Take
Script: TypeAlias = Generator[Step, Any, None]


class Scheduler:
    def __init__(self, start: int) -> None:
        self.now = start
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def after(self, delay: int, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + max(delay, 0), self._number, action))

    def run_until(self, end: int) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = max(self.now, end)


class Task:
    """A script under way. `cancel` ends it where it stands, as the death of its process does."""

    def __init__(self, scheduler: Scheduler, script: Script) -> None:
        self._scheduler = scheduler
        self._script = script
        self._is_over = False
        self._waits = 0
        scheduler.after(0, lambda: self._advance(None))

    @property
    def is_over(self) -> bool:
        return self._is_over

    def cancel(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._script.close()

    def _advance(self, value: Any) -> None:
        if self._is_over:
            return
        self._waits += 1
        try:
            step = self._script.send(value)
        except StopIteration:
            self._is_over = True
            return
        wait = self._waits
        if isinstance(step, Sleep):
            self._scheduler.after(step.nanoseconds, lambda: self._resume(wait, None))
        else:
            self._wait_for(step, wait)

    def _resume(self, wait: int, value: Any) -> None:
        if wait == self._waits:
            self._advance(value)

    def _wait_for(self, step: Take, wait: int) -> None:
        mailbox = step.mailbox

        def take() -> None:
            if wait == self._waits:
                mailbox.wake = None
                self._advance(mailbox.messages.popleft() if mailbox.messages else None)

        if mailbox.messages:
            self._scheduler.after(0, take)
            return
        mailbox.wake = lambda: self._scheduler.after(0, take)
        self._scheduler.after(step.timeout, take)

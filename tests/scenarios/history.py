"""What a workload records: every attempt of a transaction, when it ran and what became of it.

Times are of one monotonic clock, in nanoseconds. An attempt begins before its first statement is sent and ends after
the answer to its COMMIT has arrived, so that "ended before the other began" is real-time order, whoever looks.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Outcome(Enum):
    COMMITTED = "committed"
    REJECTED = "rejected"  # certainly not committed
    UNKNOWN = "unknown"  # may have committed


@dataclass(frozen=True)
class Attempt(Generic[Work]):
    """`work` is what the transaction did or meant to do; `error` a SQLSTATE, or "lost" for a broken connection.
    `message` is what the server said of it."""

    work: Work
    outcome: Outcome
    began_ns: int
    ended_ns: int
    error: str | None = None
    message: str | None = None

    @property
    def is_committed(self) -> bool:
        return self.outcome is Outcome.COMMITTED


class History(Generic[Work]):
    """Attempts of all workers, in order of their ends. Safe to use from many threads."""

    def __init__(self) -> None:
        self._attempts: list[Attempt[Work]] = []
        self._grown = threading.Condition()

    def add(self, attempt: Attempt[Work]) -> None:
        with self._grown:
            self._attempts.append(attempt)
            self._grown.notify_all()

    def attempts(self, outcome: Outcome | None = None) -> list[Attempt[Work]]:
        with self._grown:
            return [attempt for attempt in self._attempts if outcome is None or attempt.outcome is outcome]

    def errors(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for attempt in self.attempts():
            if attempt.error is not None:
                counts[attempt.error] = counts.get(attempt.error, 0) + 1
        return counts

    def messages(self, errors: Collection[str]) -> list[str]:
        """What the server said with these errors, each once."""
        said = {f"{attempt.error}: {attempt.message}" for attempt in self.attempts() if attempt.error in errors}
        return sorted(said)

    def wait_for_commits(self, more: int, stop: threading.Event, timeout_s: float) -> bool:
        """Waits until so many more attempts have committed; False if it is told to stop or nothing moves."""
        with self._grown:
            goal = self._commits() + more
            self._grown.wait_for(lambda: stop.is_set() or self._commits() >= goal, timeout_s)
            return not stop.is_set() and self._commits() >= goal

    def wake(self) -> None:
        """Lets waiters look at their stop event."""
        with self._grown:
            self._grown.notify_all()

    def _commits(self) -> int:
        return sum(attempt.is_committed for attempt in self._attempts)

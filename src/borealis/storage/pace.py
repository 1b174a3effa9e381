"""When to do what between batches: reports to the service, rounds of the horizon, slices of collection. Pure.

All times are monotonic nanoseconds handed in by the caller.
"""

from dataclasses import dataclass

from borealis.foundation.identifiers import Position
from borealis.storage.settings import StorageSettings


class ReportPace:
    """APPLIED costs both sides a system call, so it is sent for many commits at once, but never late.

    The service needs it only for back-pressure and truncation; readers watch the page.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self._delay_ns = settings.report_delay_ns
        self._bytes = settings.report_bytes
        self._reported = Position(0)
        self._pending_since: int | None = None

    def reported(self, position: Position) -> None:
        self._reported = position
        self._pending_since = None

    def applied(self, now_ns: int, position: Position) -> bool:
        """Whether to report at once."""
        if self._pending_since is None:
            self._pending_since = now_ns
        return position - self._reported >= self._bytes or now_ns - self._pending_since >= self._delay_ns

    @property
    def due_ns(self) -> int | None:
        return None if self._pending_since is None else self._pending_since + self._delay_ns


class CollectionPace:
    """Collection keeps up with apply whatever else there is to do: two keys for each write, once there are enough."""

    def __init__(self, settings: StorageSettings) -> None:
        self._keys_min = settings.collect_keys_min
        self._keys_max = settings.collect_keys_max
        self._writes = 0

    def applied(self, writes: int) -> None:
        self._writes += writes

    def take_due_keys(self) -> int:
        """How many keys to collect now so that garbage does not pile up; 0 if it can wait."""
        if self._writes < self._keys_min:
            return 0
        keys = min(2 * self._writes, self._keys_max)
        self._writes = 0
        return keys


class BackgroundPace:
    """What nobody waits for is done in the gaps, and takes a part of one core: the rest is for those who wait."""

    def __init__(self, rest_factor: int) -> None:
        self._rest_factor = rest_factor
        self.due_ns = 0

    def worked(self, began_ns: int, ended_ns: int) -> None:
        """A slice took from one time to the other: rest so many times as long."""
        self.due_ns = ended_ns + self._rest_factor * (ended_ns - began_ns)


@dataclass(slots=True)
class Backoff:
    """Delay between attempts: doubles from the least to the most."""

    delay_min_ns: int
    delay_max_ns: int
    _delay_ns: int = 0

    def next_delay_ns(self) -> int:
        self._delay_ns = min(max(2 * self._delay_ns, self.delay_min_ns), self.delay_max_ns)
        return self._delay_ns

    def reset(self) -> None:
        self._delay_ns = 0

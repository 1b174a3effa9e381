"""When to do what nobody waits for, and when to try again. Pure.

All times are monotonic nanoseconds handed in by the caller.
"""

from dataclasses import dataclass


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

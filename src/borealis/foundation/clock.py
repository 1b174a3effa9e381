"""Where time comes from: pure logic takes `now` as an argument, shells hold a clock, a simulation holds its own."""

import time
from typing import Protocol

from borealis.foundation.identifiers import Timestamp


class Clock(Protocol):
    """Wall time, in nanoseconds since the Unix epoch. It may stand still or step backwards; callers must bear it."""

    def now(self) -> Timestamp: ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Timestamp:
        return Timestamp(time.time_ns())

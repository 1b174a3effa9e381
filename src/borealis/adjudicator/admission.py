"""Admission: what may be decided now, and what has waited too long. Pure logic.

Two things can hold requests up: storage has fallen too far behind (transactions wait, for a bounded time), and the
journal is taking space for its next segment (whatever needs the journal waits). Questions about outcomes never wait.
The requests themselves are where they came in: their number and bytes are bounded there.
"""

from typing import Final, NamedTuple

from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.wire.commit_messages import Refused

STORAGE_BEHIND: Final = Refused(Reason.STORAGE_BEHIND, "storage is too far behind the journal; try again later")
DISK_FULL: Final = Refused(Reason.DISK_FULL, "the disk of the journal is full")
STOPPING: Final = Refused(Reason.STORAGE_BEHIND, "the transaction service is stopping")


class AdmissionLimits(NamedTuple):
    lag_bytes_max: int = 128 * 2**20
    wait_ns_max: int = 60 * NANOSECONDS_PER_SECOND
    waiting_max: int = 10_000
    group_bytes_max: int = 8 * 2**20
    """A group ends before the transaction that would take it over this; bounds how long one sync keeps all waiting."""


class Admission:
    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._lag_bytes = 0
        self._is_room_awaited = False

    def note_lag(self, lag_bytes: int) -> None:
        """How far storage is behind the end of the journal."""
        self._lag_bytes = lag_bytes

    def await_room(self) -> None:
        """A group could not be decided for want of a segment: hold everything that needs the journal."""
        self._is_room_awaited = True

    def note_room(self) -> None:
        self._is_room_awaited = False

    @property
    def is_room_awaited(self) -> bool:
        return self._is_room_awaited

    @property
    def holds_transactions(self) -> bool:
        return self._is_room_awaited or self._lag_bytes > self._limits.lag_bytes_max

    @property
    def holds_sequences(self) -> bool:
        return self._is_room_awaited

    def latest_to_expire(self, now: Timestamp) -> Timestamp:
        """Whoever arrived at this time or before has waited too long."""
        return Timestamp(max(0, now - self._limits.wait_ns_max))

    def expiry_of(self, arrived: Timestamp) -> Timestamp:
        """When somebody who arrived then will have waited too long."""
        return Timestamp(arrived + self._limits.wait_ns_max)

"""Admission: what may be decided now, and what has waited too long. Pure logic.

Three things can hold requests up: storage has fallen too far behind (transactions wait, for a bounded time), a schema
change has reserved a table that they write (the same, in a place of their own), and the journal is taking space for its
next segment (whatever needs the journal waits). Questions about outcomes never wait. The requests themselves are where
they came in: their number and bytes are bounded there.
"""

from typing import Final, NamedTuple

from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.wire.commit_messages import Refused

STORAGE_BEHIND: Final = Refused(Reason.STORAGE_BEHIND, "storage is too far behind the journal; try again later")
DISK_FULL: Final = Refused(Reason.DISK_FULL, "the disk of the journal is full")
TABLE_RESERVED: Final = Refused(Reason.SCHEMA_CONFLICT, "the schema of a table is being changed")
STOPPING: Final = Refused(Reason.STORAGE_BEHIND, "the transaction service is stopping")


class AdmissionLimits(NamedTuple):
    lag_bytes_max: int = 128 * 2**20
    wait_ns_max: int = 60 * NANOSECONDS_PER_SECOND
    waiting_max: int = 10_000
    reservation_ns_max: int = 300 * NANOSECONDS_PER_SECOND
    """A reservation ends then, whatever its session does: no transaction lives longer."""
    reserved_wait_ns_max: int = 5 * NANOSECONDS_PER_SECOND
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
        """Whoever waits for storage and arrived at this time or before has waited too long."""
        return Timestamp(max(0, now - self._limits.wait_ns_max))

    def latest_overdue(self, now: Timestamp) -> Timestamp:
        """The same for those that a reservation holds."""
        return Timestamp(max(0, now - self._limits.reserved_wait_ns_max))

    def next_expiry(self, oldest_arrival: Timestamp | None, oldest_held: Timestamp | None) -> Timestamp | None:
        """When the first of those that wait will have waited too long, given when the first of each kind arrived."""
        ends = [
            arrived + limit
            for arrived, limit in (
                (oldest_arrival, self._limits.wait_ns_max),
                (oldest_held, self._limits.reserved_wait_ns_max),
            )
            if arrived is not None
        ]
        return Timestamp(min(ends)) if ends else None

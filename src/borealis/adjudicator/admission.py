"""Admission: what may be decided now, what waits, what is turned away. Pure logic.

Requests go through in their order. Three things can hold them up: storage has fallen too far behind (transactions
wait, for a bounded time), a schema change has reserved a table that they write (the same, in a place of their own), and
the journal is taking space for its next segment (whatever needs the journal waits). Questions about outcomes never
wait. The queue is bounded by number; its bytes are bounded where they come in.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Generic, NamedTuple, TypeVar

from borealis.adjudicator.adjudicator import Request
from borealis.adjudicator.reservations import Reservations
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Relfilenode, Timestamp
from borealis.wire.commit_messages import OutcomeQuery, Refused
from borealis.wire.transaction_record import TransactionRecord

STORAGE_BEHIND: Final = Refused(Reason.STORAGE_BEHIND, "storage is too far behind the journal; try again later")
DISK_FULL: Final = Refused(Reason.DISK_FULL, "the disk of the journal is full")
TABLE_RESERVED: Final = Refused(Reason.SCHEMA_CONFLICT, "the schema of a table is being changed")
STOPPING: Final = Refused(Reason.STORAGE_BEHIND, "the transaction service is stopping")

Sender = TypeVar("Sender")


class AdmissionLimits(NamedTuple):
    lag_bytes_max: int = 128 * 2**20
    wait_ns_max: int = 60 * NANOSECONDS_PER_SECOND
    waiting_max: int = 10_000
    reservation_ns_max: int = 300 * NANOSECONDS_PER_SECOND
    """A reservation ends then, whatever its session does: no transaction lives longer."""
    reserved_wait_ns_max: int = 5 * NANOSECONDS_PER_SECOND
    group_bytes_max: int = 8 * 2**20
    """A group ends at the request that goes over it; bounds how long one sync keeps everybody waiting."""


class Ticket(NamedTuple, Generic[Sender]):
    """A request and whom to answer."""

    sender: Sender
    number: int
    request: Request
    arrived: Timestamp


class Admission(Generic[Sender]):
    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._waiting: deque[Ticket[Sender]] = deque()
        self._reservations: Reservations[Sender] = Reservations(limits.reservation_ns_max)
        self._held: deque[Ticket[Sender]] = deque()
        self._lag_bytes = 0
        self._is_room_awaited = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._held)

    @property
    def is_room_awaited(self) -> bool:
        return self._is_room_awaited

    def offer(self, ticket: Ticket[Sender]) -> bool:
        """Queue a request. False if the queue is full: refuse it, it has certainly not started."""
        if len(self) >= self._limits.waiting_max:
            return False
        self._waiting.append(ticket)
        return True

    def note_lag(self, lag_bytes: int) -> None:
        """How far storage is behind the end of the journal."""
        self._lag_bytes = lag_bytes

    def await_room(self, group: list[Ticket[Sender]]) -> None:
        """The group could not be decided for want of a segment: hold it and everything like it."""
        self._is_room_awaited = True
        self._waiting.extendleft(reversed(group))

    def note_room(self) -> None:
        self._is_room_awaited = False

    def reserve(self, owner: Sender, tables: Collection[Relfilenode], now: Timestamp) -> None:
        """From here on others' transactions on these tables are held."""
        self._reservations.reserve(owner, tables, now)

    def release(self, owner: Sender) -> None:
        if self._reservations.release(owner):
            self._let_go()

    def _let_go(self) -> None:
        self._waiting.extendleft(reversed(self._held))
        self._held.clear()

    def take_group(self) -> list[Ticket[Sender]]:
        """The next requests to decide, in order; empty if everything that is here must wait."""
        waiting = self._waiting
        if not waiting:
            return []
        is_behind = self._lag_bytes > self._limits.lag_bytes_max
        group: list[Ticket[Sender]] = []
        held: list[Ticket[Sender]] = []
        group_bytes = 0
        while waiting and group_bytes < self._limits.group_bytes_max:
            ticket = waiting.popleft()
            request = ticket.request
            if type(request) is TransactionRecord:
                if self._reservations and self._reservations.hold(request, ticket.sender):
                    self._held.append(ticket)
                    continue
                if is_behind or self._is_room_awaited:
                    held.append(ticket)
                    continue
                group_bytes += len(request.data)
            elif self._is_room_awaited and type(request) is not OutcomeQuery:
                held.append(ticket)
                continue
            group.append(ticket)
        waiting.extendleft(reversed(held))
        return group

    def take_expired(self, now: Timestamp) -> list[Ticket[Sender]]:
        """Requests that have waited for storage too long."""
        latest = now - self._limits.wait_ns_max
        return self._take_if(lambda ticket: ticket.arrived <= latest)

    def take_overdue(self, now: Timestamp) -> list[Ticket[Sender]]:
        """Transactions that a reservation has held too long."""
        if self._reservations.release_aged(now):
            self._let_go()
        latest = now - self._limits.reserved_wait_ns_max
        overdue = [ticket for ticket in self._held if ticket.arrived <= latest]
        self._held = deque(ticket for ticket in self._held if ticket.arrived > latest)
        return overdue

    def take_all_that_need_room(self) -> list[Ticket[Sender]]:
        """Requests that cannot be served because the disk is full."""
        self._is_room_awaited = False
        return self._take_if(lambda ticket: type(ticket.request) is not OutcomeQuery)

    def take_all(self) -> list[Ticket[Sender]]:
        self._let_go()
        return self._take_if(lambda _: True)

    def take_of(self, sender: Sender) -> list[Ticket[Sender]]:
        """Requests whose sender has gone: certainly not started, and nobody waits for them."""
        self._held = deque(ticket for ticket in self._held if ticket.sender is not sender)
        return self._take_if(lambda ticket: ticket.sender is sender)

    def _take_if(self, is_taken: Callable[[Ticket[Sender]], bool]) -> list[Ticket[Sender]]:
        taken = [ticket for ticket in self._waiting if is_taken(ticket)]
        if taken:
            self._waiting = deque(ticket for ticket in self._waiting if not is_taken(ticket))
        return taken

    def next_expiry(self) -> Timestamp | None:
        """When the first of those that wait will have waited too long."""
        ends = [
            min(ticket.arrived for ticket in tickets) + limit
            for tickets, limit in (
                (self._waiting, self._limits.wait_ns_max),
                (self._held, self._limits.reserved_wait_ns_max),
            )
            if tickets
        ]
        return Timestamp(min(ends)) if ends else None

"""The commit desk of the virtual service: connections, and the transactions that wait to be decided.

The counterpart of `borealis.adjudicator.desk`, without sockets: it decides when and how many, never what.
"""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, Protocol

from borealis.adjudicator.adjudicator import Request
from borealis.foundation.identifiers import Relfilenode, Timestamp
from borealis.wire.commit_messages import Answer
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import RECORD_HEADER_BYTES, padded_length
from borealis.wire.transaction_record import TABLE_KEY_BYTES, Namespace, TransactionRecord


class Connection:
    """A query processor's connection. Bytes may still arrive from an end that has long been given up."""

    def __init__(self, deliver: Callable[[int, Answer | None], None]) -> None:
        self.deliver = deliver
        self.is_open = True


class Ticket(NamedTuple):
    """A request and whom to answer."""

    connection: Connection
    number: int
    request: Request
    arrived: Timestamp


class Reservation(NamedTuple):
    """The turn of a schema change at tables that others write all the time: their commits are held meanwhile."""

    prefixes: frozenset[bytes]
    """What the keys of the tables' rows begin with."""
    since: Timestamp


class Decider(Protocol):
    """The core, or what the reference has in its place."""

    def decide(self, record: Octets) -> Answer: ...


class VirtualDesk:
    def __init__(self, queued_max: int, reservation_ns_max: int) -> None:
        self._queued_max = queued_max
        self._reservation_ns_max = reservation_ns_max
        self._reservations: dict[Connection, Reservation] = {}
        self._queued: list[Ticket] = []
        self._held: list[Ticket] = []
        self._decided: list[tuple[Ticket, Answer]] = []

    def offer(self, ticket: Ticket) -> bool:
        """Queue a transaction. False if the queue is full."""
        if len(self._queued) + len(self._held) >= self._queued_max:
            return False
        (self._held if self._is_held_back(ticket) else self._queued).append(ticket)
        return True

    # Reservations

    def reserve(self, connection: Connection, tables: Collection[Relfilenode], now: Timestamp) -> None:
        """From here on others' transactions on these tables are held, whatever is queued of them included."""
        prefixes = frozenset(bytes([Namespace.ROW]) + table.to_bytes(4, "big") for table in tables)
        self._reservations[connection] = Reservation(prefixes, now)
        self._sort()

    def release(self, connection: Connection) -> None:
        if self._reservations.pop(connection, None) is not None:
            self._sort()

    def release_aged(self, now: Timestamp) -> None:
        oldest = now - self._reservation_ns_max
        self._reservations = {who: each for who, each in self._reservations.items() if each.since > oldest}
        self._sort()

    def _sort(self) -> None:
        waiting = [*self._queued, *self._held]
        self._held = [ticket for ticket in waiting if self._is_held_back(ticket)]
        self._queued = [ticket for ticket in waiting if ticket not in self._held]

    def _is_held_back(self, ticket: Ticket) -> bool:
        """Schema changes are not held: two of them that reserve the same table would hold each other."""
        record = ticket.request
        assert type(record) is TransactionRecord
        others = [each.prefixes for who, each in self._reservations.items() if who is not ticket.connection]
        touched = {key[:TABLE_KEY_BYTES] for key in (*record.keys, *record.lock_keys)}
        return not record.catalog_entry and any(not touched.isdisjoint(prefixes) for prefixes in others)

    def take_held(self, at_most: Timestamp) -> list[Ticket]:
        """Those that have been held since then or longer."""
        taken = [ticket for ticket in self._held if ticket.arrived <= at_most]
        self._held = [ticket for ticket in self._held if ticket.arrived > at_most]
        return taken

    # The queue

    @property
    def queued(self) -> int:
        return len(self._queued)

    def decidable_bytes(self, bytes_max: int) -> int:
        return sum(map(_batch_bytes, self._decidable(bytes_max)))

    def decide(self, core: Decider, bytes_max: int) -> int:
        decidable = list(self._decidable(bytes_max))
        del self._queued[: len(decidable)]
        self._decided += [(ticket, core.decide(_record_of(ticket))) for ticket in decidable]
        return len(decidable)

    def _decidable(self, bytes_max: int) -> Iterator[Ticket]:
        """The first ones, until the next would go over the bound; one at least."""
        total = 0
        for ticket in self._queued:
            if total and total + _batch_bytes(ticket) > bytes_max:
                return
            total += _batch_bytes(ticket)
            yield ticket

    def take_decided(self) -> list[tuple[Ticket, Answer]]:
        decided, self._decided = self._decided, []
        return decided

    def take_arrived(self, at_most: Timestamp) -> list[Ticket]:
        """Those that have waited since then or longer."""
        taken = [ticket for ticket in self._queued if ticket.arrived <= at_most]
        self._queued = [ticket for ticket in self._queued if ticket.arrived > at_most]
        return taken

    def take_all(self) -> list[Ticket]:
        taken, self._queued = self._queued, []
        return taken


def _batch_bytes(ticket: Ticket) -> int:
    return RECORD_HEADER_BYTES + padded_length(len(_record_of(ticket)))


def _record_of(ticket: Ticket) -> Octets:
    assert type(ticket.request) is TransactionRecord
    return ticket.request.data

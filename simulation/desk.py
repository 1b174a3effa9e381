"""The commit desk of the virtual service: connections, and the transactions that wait to be decided.

The counterpart of `borealis.adjudicator.desk`, without sockets: it decides when and how many, never what.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from borealis.adjudicator.adjudicator import Request
from borealis.foundation.identifiers import Timestamp
from borealis.wire.commit_messages import Answer
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import RECORD_HEADER_BYTES, padded_length
from borealis.wire.transaction_record import TransactionRecord


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


class Decider(Protocol):
    """The core, or what the reference has in its place."""

    def decide(self, record: Octets) -> Answer: ...


class VirtualDesk:
    def __init__(self, queued_max: int) -> None:
        self._queued_max = queued_max
        self._queued: list[Ticket] = []
        self._decided: list[tuple[Ticket, Answer]] = []

    def offer(self, ticket: Ticket) -> bool:
        """Queue a transaction. False if the queue is full."""
        if len(self._queued) >= self._queued_max:
            return False
        self._queued.append(ticket)
        return True

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

"""A driver for adjudicator tests: short words for requests, and a lease to begin with.

What decides is either the adjudicator or its specification, `simulation.reference`: the tests hold for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from borealis.adjudicator.adjudicator import Adjudicator, Decision, Request
from borealis.foundation.identifiers import (
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import Answer, OutcomeQuery, SequenceCall, SequenceOperation
from borealis.wire.journal_batch import JournalRecord, decode_batch
from borealis.wire.transaction_record import TransactionRecord, encode_transaction
from simulation.reference import ReferenceAdjudicator
from simulation.reference.adjudicator import Decision as ReferenceDecision

AnyAdjudicator: TypeAlias = Adjudicator | ReferenceAdjudicator
AnyDecision: TypeAlias = Decision | ReferenceDecision

Make: TypeAlias = Callable[..., AnyAdjudicator]
Start: TypeAlias = "Callable[..., Driver]"

ADJUDICATORS = (Adjudicator, ReferenceAdjudicator)

LEASE = Timestamp(1_000_000_000_000)


def transaction_id(number: int) -> TransactionId:
    return TransactionId(number.to_bytes(16, "big"))


def key(name: str, relfilenode: int = 1) -> bytes:
    return b"\x10" + relfilenode.to_bytes(4, "big") + name.encode()


def transaction(
    number: int,
    read: int,
    *,
    insert: Sequence[str] = (),
    update: Sequence[str] = (),
    locks: Sequence[tuple[int, str]] = (),
    schema: int = 0,
    entry: bytes = b"",
    follows: int = 0,
    invalidates: bool = True,
    dropped: Sequence[int] = (),
) -> TransactionRecord:
    writes = [(1, key(name), b"v") for name in insert] + [(2, key(name), b"v") for name in update]
    return TransactionRecord(
        encode_transaction(
            transaction_id(number),
            Timestamp(read),
            SchemaVersion(schema),
            writes=writes,
            locks=[(mode, key(name)) for mode, name in locks],
            catalog_entry=entry,
            follows_catalog_version=CatalogVersion(follows),
            invalidates_running=invalidates,
            dropped=[Relfilenode(each) for each in dropped],
        )
    )


def ask(number: int, read: int) -> OutcomeQuery:
    return OutcomeQuery(transaction_id(number), Timestamp(read))


def call_next(wanted: int = 1, relfilenode: int = 7, **changes: int) -> SequenceCall:
    sound = SequenceCall(
        Relfilenode(relfilenode), SequenceOperation.NEXT, False, False, False, 1, 1, 1, 1000, 1, wanted
    )
    return sound._replace(**changes)  # type: ignore[arg-type]


class Driver:
    """Decides and confirms; `now` moves by hand."""

    def __init__(self, adjudicator: AnyAdjudicator) -> None:
        self.now = LEASE
        self.adjudicator = adjudicator
        self.adjudicator.begin_lease(self.adjudicator.lease_record(self.now))

    @property
    def acknowledged(self) -> Timestamp:
        return self.adjudicator.published.acknowledged

    @property
    def window_floor(self) -> Timestamp:
        return window_floor(self.adjudicator)

    def decide(self, *requests: Request) -> AnyDecision:
        return self.adjudicator.decide(self.now, requests)

    def confirm(self, decision: AnyDecision) -> None:
        self.adjudicator.confirm(decision)  # type: ignore[arg-type]

    def run(self, *requests: Request) -> list[Answer]:
        decision = self.decide(*requests)
        self.confirm(decision)
        return decision.answers

    def run_one(self, request: Request) -> Answer:
        return self.run(request)[0]


def records_of(decision: AnyDecision) -> list[JournalRecord]:
    """What goes into the journal; to be asked for before the decision is confirmed."""
    if not decision.has_records:
        return []
    decision.seal(Position(0), Epoch(1))
    return decode_batch(decision.batch).records


def window_floor(adjudicator: AnyAdjudicator) -> Timestamp:
    """Whoever read below it is refused."""
    return adjudicator.core.window_floor if isinstance(adjudicator, Adjudicator) else adjudicator.window_floor

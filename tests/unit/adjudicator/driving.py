"""A driver for adjudicator tests: short words for requests, and a lease to begin with."""

from __future__ import annotations

from collections.abc import Sequence

from borealis.adjudicator.adjudicator import Adjudicator, AdjudicatorLimits, Decision, Request
from borealis.foundation.identifiers import (
    CatalogVersion,
    Relfilenode,
    SchemaVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import Answer, OutcomeQuery, SequenceCall, SequenceOperation
from borealis.wire.transaction_record import TransactionRecord, encode_transaction

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

    def __init__(self, adjudicator: Adjudicator | None = None, limits: AdjudicatorLimits | None = None) -> None:
        self.now = LEASE
        self.adjudicator = adjudicator or Adjudicator(limits=limits)
        self.adjudicator.begin_lease(self.adjudicator.lease_record(self.now))

    @property
    def acknowledged(self) -> Timestamp:
        return self.adjudicator.published.acknowledged

    def decide(self, *requests: Request) -> Decision:
        return self.adjudicator.decide(self.now, requests)

    def run(self, *requests: Request) -> list[Answer]:
        decision = self.decide(*requests)
        self.adjudicator.confirm(decision)
        return decision.answers

    def run_one(self, request: Request) -> Answer:
        return self.run(request)[0]

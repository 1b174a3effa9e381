"""Reservations: the turn of a schema change at tables that others write all the time. Pure logic.

A schema change that reads a whole table fails if anybody commits a row of it between its read timestamp and its own
commit. So its session reserves the tables before it takes the timestamp: from then on commits of rows of these tables
are held, until the session lets go or the reservation is too old. How long one of them is held has its own bound
(admission.py). Nothing is decided here: whoever comes through is judged as ever.
"""

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

from borealis.foundation.identifiers import Relfilenode, Timestamp
from borealis.wire.transaction_record import TABLE_KEY_BYTES, Namespace, TransactionRecord

Owner = TypeVar("Owner")


class _Reservation(NamedTuple):
    prefixes: frozenset[bytes]
    """What the keys of the tables' rows begin with."""
    since: Timestamp


class Reservations(Generic[Owner]):
    """At most one for each owner: a session of a query processor."""

    def __init__(self, age_ns_max: int) -> None:
        self._age_ns_max = age_ns_max
        self._reservations: dict[Owner, _Reservation] = {}

    def __len__(self) -> int:
        return len(self._reservations)

    def reserve(self, owner: Owner, tables: Collection[Relfilenode], now: Timestamp) -> None:
        """Takes the place of the owner's earlier one."""
        prefixes = frozenset(bytes([Namespace.ROW]) + table.to_bytes(4, "big") for table in tables)
        self._reservations[owner] = _Reservation(prefixes, now)

    def release(self, owner: Owner) -> bool:
        """False if the owner had none."""
        return self._reservations.pop(owner, None) is not None

    def release_aged(self, now: Timestamp) -> bool:
        """Ends those that are too old; whether there was one."""
        aged = [owner for owner, each in self._reservations.items() if each.since <= now - self._age_ns_max]
        for owner in aged:
            del self._reservations[owner]
        return bool(aged)

    def hold(self, record: TransactionRecord, sender: Owner) -> bool:
        """Whether somebody else has reserved a table that the transaction writes or locks rows of.

        Schema changes are not held: two of them that reserve the same table would hold each other, and at most one of
        them can commit anyway.
        """
        if record.catalog_entry:
            return False
        others = [each.prefixes for owner, each in self._reservations.items() if owner is not sender]
        if not others:
            return False
        touched = {key[:TABLE_KEY_BYTES] for keys in (record.keys, record.lock_keys) for key in keys}
        return any(not touched.isdisjoint(prefixes) for prefixes in others)

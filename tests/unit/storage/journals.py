"""Batches for the tests of apply, and the naive model of what they mean."""

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from borealis.foundation.identifiers import (
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.journal_batch import Checkpoint, JournalRecord, RecordKind, encode_batch, encode_checkpoint
from borealis.wire.transaction_record import Operation, RelationDelta, encode_transaction

ROWS = [b"\x10" + bytes([0, 0, 0, relation]) + b"\0\0\0\0" + bytes([row]) for relation in (1, 2) for row in range(4)]
ENTRIES = [b"\x20\0\0\0\x03" + bytes([entry]) for entry in range(3)]


@dataclass(frozen=True)
class Transaction:
    """What one transaction does, in a form that hypothesis can print."""

    writes: tuple[tuple[int, bytes, bytes], ...] = ()
    catalog_entry: bytes = b""
    invalidates: bool = True
    dropped: tuple[int, ...] = ()
    deltas: tuple[tuple[int, int, int], ...] = ()

    def encode(self) -> bytes:
        return encode_transaction(
            TransactionId(bytes(16)),
            Timestamp(1),
            writes=self.writes,
            catalog_entry=self.catalog_entry,
            invalidates_running=self.invalidates,
            dropped=[Relfilenode(number) for number in self.dropped],
            deltas=[RelationDelta(Relfilenode(number), rows, size) for number, rows, size in self.deltas],
        )


def _make_writes(keys: list[bytes], operations: list[int]) -> tuple[tuple[int, bytes, bytes], ...]:
    deletes = (Operation.DELETE, Operation.DELETE_UNCHECKED)
    return tuple(
        (operation, key, b"" if operation in deletes else bytes([operation]) * 9)
        for key, operation in zip(keys, operations, strict=False)
    )


_operations = st.lists(st.sampled_from([int(operation) for operation in Operation]), min_size=7, max_size=7)
_writes = st.builds(_make_writes, st.lists(st.sampled_from(ROWS + ENTRIES), unique=True, max_size=7), _operations)
transactions = st.builds(
    Transaction,
    writes=_writes,
    catalog_entry=st.sampled_from([b"", b"", b"create table"]),
    deltas=st.lists(st.tuples(st.integers(1, 3), st.integers(-5, 9), st.integers(-50, 90)), max_size=2).map(tuple),
)
journals = st.lists(st.lists(transactions, min_size=1, max_size=3), max_size=8)


@dataclass
class JournalBuilder:
    """Encodes batches one behind the other and keeps the naive state beside them."""

    position: int = 0
    timestamp: int = 100
    catalog_version: int = 0
    schema_version: int = 0
    batches: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    versions: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, transactions: list[Transaction]) -> bytes:
        return self._append(self.position, [self._record(transaction) for transaction in transactions])

    def next_segment(self) -> bytes:
        checkpoint = Checkpoint(
            Position(self.position), Timestamp(self.timestamp), CatalogVersion(0), SchemaVersion(0), 0, []
        )
        record = self._journal_record(RecordKind.CHECKPOINT, encode_checkpoint(checkpoint))
        return self._append(self.position + 1_000 - self.position % 8, [record])

    def append_raw(self, kind: RecordKind, payload: bytes) -> bytes:
        return self._append(self.position, [self._journal_record(kind, payload)])

    def _append(self, position: int, records: list[JournalRecord]) -> bytes:
        batch = encode_batch(Position(position), Epoch(1), records)
        self.position = position + len(batch)
        self.batches.append(batch)
        self.ends.append(self.position)
        return batch

    def _record(self, drawn: Transaction) -> JournalRecord:
        transaction = replace(drawn, writes=tuple(self._as_query_processor_would(write) for write in drawn.writes))
        self.timestamp += 10
        for _, key, value in transaction.writes:
            self.versions[key, self.timestamp] = value
        if transaction.catalog_entry:
            self.catalog_version += 1
            if transaction.invalidates:
                self.schema_version = self.catalog_version
            key = b"\x30" + self.catalog_version.to_bytes(8, "big")
            self.versions[key, self.timestamp] = transaction.catalog_entry
        for relation, rows, size in transaction.deltas:
            known = self.sizes.get(relation, (0, 0))
            self.sizes[relation] = (known[0] + rows, known[1] + size)
        return self._journal_record(RecordKind.TRANSACTION, transaction.encode())

    def _as_query_processor_would(self, write: tuple[int, bytes, bytes]) -> tuple[int, bytes, bytes]:
        """Nobody inserts a row that is there: the unique check has found it."""
        operation, key, value = write
        newest = max((committed for other, committed in self.versions if other == key), default=None)
        is_live = newest is not None and self.versions[key, newest] != b""
        return (int(Operation.UPDATE) if is_live and operation == Operation.INSERT else operation, key, value)

    def _journal_record(self, kind: RecordKind, payload: bytes) -> JournalRecord:
        return JournalRecord(kind, Timestamp(self.timestamp), CatalogVersion(self.catalog_version), payload)


def without_shrinking(transaction: Transaction) -> Transaction:
    """A sum below zero is not believed, so where plans are cut would show in it."""
    return replace(
        transaction, deltas=tuple((relation, abs(rows), abs(size)) for relation, rows, size in transaction.deltas)
    )

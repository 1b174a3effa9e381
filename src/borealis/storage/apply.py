"""From journal batches to what is written into the map: the decisions of apply. Pure.

A plan holds one or more whole batches. Its versions may be written in any number of transactions before the last one,
which also moves position, watermark and statistics: versions above the watermark are invisible to every reader, so a
plan becomes visible as a whole however large it is, and writing a part of it again after a crash changes nothing.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from borealis.foundation.errors import InvariantViolation, Malformed
from borealis.foundation.identifiers import CatalogVersion, Position, Relfilenode, SchemaVersion, Timestamp
from borealis.storage.ordered_map import Entry
from borealis.storage.stored_key import catalog_key, stored_key, timestamp_suffix
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import (
    Batch,
    BatchHeader,
    JournalRecord,
    RecordKind,
    decode_batch,
    decode_checkpoint,
)
from borealis.wire.transaction_record import Operation, TransactionRecord

_U64: Final = struct.Struct("<Q")
_PUT_UNCHECKED: Final = int(Operation.PUT_UNCHECKED)
_WRITES_OVER: Final = bytes(
    operation in (Operation.UPDATE, Operation.KEY_UPDATE, Operation.DELETE, Operation.DELETE_UNCHECKED)
    for operation in range(256)
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the map is: everything before `position` is in it, and nothing after."""

    position: Position
    timestamp: Timestamp
    catalog_version: CatalogVersion
    schema_version: SchemaVersion


BEGINNING: Final = Progress(Position(0), Timestamp(0), CatalogVersion(0), SchemaVersion(0))
META_KEYS: Final = (b"position", b"timestamp", b"catalog_version", b"schema_version")


def progress_entries(before: Progress, after: Progress) -> list[Entry]:
    """The entries of `meta` that differ."""
    old = (before.position, before.timestamp, before.catalog_version, before.schema_version)
    new = (after.position, after.timestamp, after.catalog_version, after.schema_version)
    return [(key, _U64.pack(now)) for key, was, now in zip(META_KEYS, old, new, strict=True) if was != now]


def decode_progress(values: Iterable[bytes | None]) -> Progress:
    """From the values of META_KEYS; a missing one is 0."""
    position, timestamp, catalog_version, schema_version = (
        0 if value is None else _U64.unpack(value)[0] for value in values
    )
    return Progress(
        Position(position), Timestamp(timestamp), CatalogVersion(catalog_version), SchemaVersion(schema_version)
    )


@dataclass(slots=True)
class RelationSize:
    """Sum of relation deltas."""

    rows: int = 0
    octets: int = 0


@dataclass(slots=True)
class ApplyPlan:
    """What whole batches ask for, beginning at `before`. `puts` are versions in the order of the journal."""

    before: Progress
    after: Progress
    puts: list[Entry] = field(default_factory=list)
    puts_that_may_cover: list[Entry] = field(default_factory=list)
    covered: list[tuple[Timestamp, list[bytes]]] = field(default_factory=list)
    drops: list[tuple[Timestamp, Relfilenode]] = field(default_factory=list)
    deltas: dict[Relfilenode, RelationSize] = field(default_factory=dict)
    bytes: int = 0
    transactions: int = 0

    @classmethod
    def start(cls, progress: Progress) -> "ApplyPlan":
        return cls(progress, progress)

    @property
    def writes(self) -> int:
        return len(self.puts) + len(self.puts_that_may_cover)

    def add(self, payload: Octets) -> bool:
        """Take in one batch as it came. False: it was applied before. Raises InvariantViolation."""
        try:
            batch = decode_batch(payload)
            if batch.header.end <= self.after.position:
                return False
            _check_continuity(self.after, batch)
            for record in batch.records:
                self._add_record(record)
        except Malformed as error:
            raise InvariantViolation(f"the journal sent a damaged batch: {error.text}") from error
        self._advance(batch.header)
        self.bytes += len(payload)
        return True

    def _advance(self, header: BatchHeader) -> None:
        after = self.after
        self.after = Progress(header.end, header.last_timestamp, after.catalog_version, after.schema_version)

    def _add_record(self, record: JournalRecord) -> None:
        if record.kind == RecordKind.TRANSACTION:
            self._add_transaction(record)
        elif record.kind not in (RecordKind.EPOCH, RecordKind.SEQUENCES, RecordKind.CHECKPOINT):
            raise Malformed(f"record kind {record.kind} is not known")

    def _add_transaction(self, record: JournalRecord) -> None:
        transaction = TransactionRecord(record.payload)
        timestamp = record.timestamp
        suffix = timestamp_suffix(timestamp)
        operations, keys = transaction.operations, transaction.keys
        if keys:
            values = transaction.values()
            entries = zip([key + suffix for key in keys], values, strict=True)
            if _PUT_UNCHECKED in operations:
                for operation, entry in zip(operations, entries, strict=True):
                    (self.puts_that_may_cover if operation == _PUT_UNCHECKED else self.puts).append(entry)
            else:
                self.puts += entries
            writes_over = operations.translate(_WRITES_OVER)
            if 1 in writes_over:
                self.covered.append(
                    (timestamp, [key for key, is_over in zip(keys, writes_over, strict=True) if is_over])
                )
        if transaction.catalog_entry:
            self._add_catalog_entry(record, transaction)
        for relfilenode in transaction.dropped:
            self.drops.append((timestamp, relfilenode))
        for relfilenode, rows, size in transaction.deltas:
            delta = self.deltas.setdefault(relfilenode, RelationSize())
            delta.rows += rows
            delta.octets += size
        self.transactions += 1

    def _add_catalog_entry(self, record: JournalRecord, transaction: TransactionRecord) -> None:
        version = record.catalog_version
        if version != self.after.catalog_version + 1:
            raise InvariantViolation(
                f"catalog entry {version} does not follow {self.after.catalog_version} (after {self.after.position})"
            )
        self.puts.append((stored_key(catalog_key(version), record.timestamp), transaction.catalog_entry))
        schema = SchemaVersion(version) if transaction.invalidates_running else self.after.schema_version
        self.after = Progress(self.after.position, self.after.timestamp, version, schema)


def _check_continuity(progress: Progress, batch: Batch) -> None:
    header = batch.header
    if header.position != progress.position and not _starts_next_segment(progress, batch):
        raise InvariantViolation(
            f"the journal sent the batch at position {header.position}, but {progress.position} comes next"
        )
    if header.last_timestamp < progress.timestamp:
        raise InvariantViolation(
            f"the batch at position {header.position} ends at timestamp {header.last_timestamp}, before the watermark "
            f"{progress.timestamp}"
        )


def _starts_next_segment(progress: Progress, batch: Batch) -> bool:
    """Positions leap from the end of the last batch of a segment to the first one of the next, which says so."""
    first = batch.records[0]
    if batch.header.position < progress.position or first.kind != RecordKind.CHECKPOINT:
        return False
    return decode_checkpoint(first.payload).previous_end == progress.position


@dataclass(frozen=True, slots=True)
class Chunk:
    """Versions for one write transaction, in key order; those that may cover others in descending order.

    Descending, an older version of a key is in the map before a newer one looks for it.
    """

    puts: list[Entry]
    puts_that_may_cover: list[Entry]
    put_bytes: int

    @property
    def writes(self) -> int:
        return len(self.puts) + len(self.puts_that_may_cover)


def cut_chunks(plan: ApplyPlan, writes_max: int, bytes_max: int) -> list[Chunk]:
    """The versions of a plan, cut so that one transaction stays bounded; at least one chunk, the last may be empty."""
    puts, may_cover = sorted(plan.puts), sorted(plan.puts_that_may_cover, reverse=True)
    if plan.writes <= writes_max and plan.bytes <= bytes_max:
        return [Chunk(puts, may_cover, plan.bytes)]
    chunks = [Chunk(part, [], size) for part, size in _cut(puts, writes_max, bytes_max)]
    chunks += [Chunk([], part, size) for part, size in _cut(may_cover, writes_max, bytes_max)]
    return chunks


def _cut(entries: list[Entry], writes_max: int, bytes_max: int) -> Iterable[tuple[list[Entry], int]]:
    start, size = 0, 0
    for index, (key, value) in enumerate(entries):
        length = len(key) + len(value)
        if index > start and (index - start == writes_max or size + length > bytes_max):
            yield entries[start:index], size
            start, size = index, 0
        size += length
    if start < len(entries):
        yield entries[start:], size

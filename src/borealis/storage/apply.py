"""From journal batches to what is written into the map: the decisions of apply. Pure.

A plan holds one or more whole batches. Its versions may be written in any number of transactions before the last one,
which also moves position, watermark and statistics: versions above the watermark are invisible to every reader, so a
plan becomes visible as a whole however large it is, and writing a part of it again after a crash changes nothing.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from borealis.foundation.errors import InvariantViolation, Malformed
from borealis.foundation.identifiers import CatalogVersion, Position, Relfilenode, SchemaVersion, Timestamp
from borealis.foundation.pages import wake_bit
from borealis.storage.journalled import (
    NOTHING,
    RecordPlace,
    Remainder,
    Writes,
    WritesPlace,
    add_slice,
    add_transaction,
    iterate_places,
    open_batch,
    open_giant,
)
from borealis.storage.ordered_map import Entry
from borealis.storage.stored_key import catalog_key, stored_key
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import BatchHeader, RecordKind, decode_checkpoint

_U64: Final = struct.Struct("<Q")
_TRANSACTION: Final = int(RecordKind.TRANSACTION)
_WITHOUT_VERSIONS: Final = frozenset((RecordKind.EPOCH, RecordKind.SEQUENCES, RecordKind.CHECKPOINT))


class Progress(NamedTuple):
    """How far the map is: everything before `position` is in it, and nothing after."""

    position: Position
    timestamp: Timestamp
    catalog_version: CatalogVersion
    schema_version: SchemaVersion


META_KEYS: Final = (b"position", b"timestamp", b"catalog_version", b"schema_version")


def progress_entries(before: Progress, after: Progress) -> list[Entry]:
    """The entries of `meta` that differ."""
    return [(key, _U64.pack(now)) for key, was, now in zip(META_KEYS, before, after, strict=True) if was != now]


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
    """What whole batches ask for, beginning at `before`."""

    before: Progress
    after: Progress
    giant_bytes: int
    giants: list[tuple[bytes, RecordPlace, WritesPlace]] = field(default_factory=list)
    """Transactions whose writes are taken from their batch only while they are being written."""
    versions: Writes = field(default_factory=Writes)
    drops: list[tuple[Timestamp, Relfilenode]] = field(default_factory=list)
    deltas: dict[Relfilenode, RelationSize] = field(default_factory=dict)
    octets: int = 0
    wake_bits: int = 0
    """Of the timestamps that readers may be waiting for: the last one of each batch."""

    @classmethod
    def start(cls, progress: Progress, giant_bytes: int) -> "ApplyPlan":
        """An empty plan. Transaction records from `giant_bytes` on are giants."""
        return cls(progress, progress, giant_bytes)

    @property
    def writes(self) -> int:
        """How many versions are held in memory."""
        return len(self.versions.puts) + len(self.versions.puts_that_may_cover)

    def add(self, batch: Octets) -> bool:
        """Take in one batch as it came. False: it was applied before. Raises InvariantViolation."""
        data = batch if type(batch) is bytes else bytes(batch)
        try:
            header = open_batch(data)
            if header.end <= self.after.position:
                return False
            _check_continuity(self.after, header, data)
            self._add_records(header, data)
        except Malformed as error:
            raise InvariantViolation(f"the journal sent a damaged batch: {error.text}") from error
        after = self.after
        self.after = Progress(header.end, header.last_timestamp, after.catalog_version, after.schema_version)
        self.octets += len(data)
        self.wake_bits |= wake_bit(header.last_timestamp)
        return True

    def _add_records(self, header: BatchHeader, data: bytes) -> None:
        for place in iterate_places(header, data):
            if place.kind == _TRANSACTION:
                if place.end - place.start < self.giant_bytes:
                    remainder = add_transaction(self.versions, data, place)
                else:
                    parts, remainder = open_giant(data, place)
                    self.giants.append((data, place, parts))
                if remainder is not NOTHING:
                    self._add_remainder(place, remainder)
            elif place.kind not in _WITHOUT_VERSIONS:
                raise Malformed(f"record kind {place.kind} is not known")

    def _add_remainder(self, place: RecordPlace, remainder: Remainder) -> None:
        if remainder.catalog_entry:
            self._add_catalog_entry(place, remainder)
        for relfilenode in remainder.dropped:
            self.drops.append((place.timestamp, relfilenode))
        for number, rows, octets in remainder.deltas:
            delta = self.deltas.setdefault(Relfilenode(number), RelationSize())
            delta.rows += rows
            delta.octets += octets

    def _add_catalog_entry(self, place: RecordPlace, remainder: Remainder) -> None:
        version = place.catalog_version
        if version != self.after.catalog_version + 1:
            raise InvariantViolation(
                f"catalog entry {version} does not follow {self.after.catalog_version} (after {self.after.position})"
            )
        self.versions.puts.append((stored_key(catalog_key(version), place.timestamp), remainder.catalog_entry))
        schema = SchemaVersion(version) if remainder.invalidates_running else self.after.schema_version
        self.after = Progress(self.after.position, self.after.timestamp, version, schema)


def _check_continuity(progress: Progress, header: BatchHeader, data: bytes) -> None:
    if header.position != progress.position and not _starts_next_segment(progress, header, data):
        raise InvariantViolation(
            f"the journal sent the batch at position {header.position}, but {progress.position} comes next"
        )
    if header.last_timestamp < progress.timestamp:
        raise InvariantViolation(
            f"the batch at position {header.position} ends at timestamp {header.last_timestamp}, before the watermark "
            f"{progress.timestamp}"
        )


def _starts_next_segment(progress: Progress, header: BatchHeader, data: bytes) -> bool:
    """Positions leap from the end of the last batch of a segment to the first one of the next, which says so."""
    first = next(iterate_places(header, data))
    if header.position < progress.position or first.kind != RecordKind.CHECKPOINT:
        return False
    return decode_checkpoint(data[first.start : first.end]).previous_end == progress.position


class Chunk(NamedTuple):
    """Versions for one write transaction, in key order."""

    puts: list[Entry]
    puts_that_may_cover: list[Entry]


def cut_chunks(versions: Writes, writes_max: int, bytes_max: int, octets: int) -> list[Chunk]:
    """Versions cut so that one transaction stays bounded; at least one chunk. `octets`: no more bytes are in them.

    Of those that may cover others the last chunk comes first: an older version of a key is in the map, at the latest
    with it, when a newer one is looked at.
    """
    puts, may_cover = sorted(versions.puts), sorted(versions.puts_that_may_cover)
    if len(puts) + len(may_cover) <= writes_max and octets <= bytes_max:
        return [Chunk(puts, may_cover)]
    chunks = [Chunk(part, []) for part in _cut(puts, writes_max, bytes_max)]
    chunks += [Chunk([], part) for part in reversed(list(_cut(may_cover, writes_max, bytes_max)))]
    return chunks or [Chunk([], [])]


def iterate_giant(
    giant: tuple[bytes, RecordPlace, WritesPlace], writes_max: int, bytes_max: int
) -> Iterator[tuple[Chunk, list[tuple[Timestamp, bytes]]]]:
    """The versions of a giant transaction, a bounded number at a time, and the keys that each chunk writes over."""
    data, place, parts = giant
    for first in range(0, parts.writes, writes_max):
        versions = Writes()
        add_slice(versions, data, parts, place.timestamp, first, min(writes_max, parts.writes - first))
        covered = versions.covered
        for chunk in cut_chunks(versions, writes_max, bytes_max, len(data)):
            yield chunk, covered
            covered = []


def _cut(entries: list[Entry], writes_max: int, bytes_max: int) -> Iterator[list[Entry]]:
    start, size = 0, 0
    for index, (key, value) in enumerate(entries):
        length = len(key) + len(value)
        if index > start and (index - start == writes_max or size + length > bytes_max):
            yield entries[start:index]
            start, size = index, 0
        size += length
    if start < len(entries):
        yield entries[start:]

"""Journal batches as storage needs them: the versions that their transactions write. Pure.

The layouts are those of docs/formats.md, and `borealis.wire` is where they are defined and checked in full. A record in
the journal has passed those checks when it was admitted, and its batch carries a checksum; so this decoder looks only
at what keeps it inside the bytes that it was given, and turns each write into a map entry in one pass, which takes a
third of the time. Raises Malformed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import U64_MAX, CatalogVersion, Relfilenode, Timestamp
from borealis.storage.ordered_map import Entry
from borealis.wire.journal_batch import (
    ALIGNMENT,
    BATCH_HEADER_BYTES,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    BatchHeader,
    decode_batch_header,
    is_batch_intact,
)
from borealis.wire.transaction_record import KEEPS_RUNNING_TRANSACTIONS, Operation

_HEADER: Final = struct.Struct("<40xIIIIII")
_WRITE_BYTES: Final = 9
_LOCK_BYTES: Final = 5
_DELTA: Final = struct.Struct("<Iqq")
_SUFFIX: Final = struct.Struct(">Q")
_END: Final = struct.Struct("<I")
_ENDS: Final = tuple(struct.Struct(f"<{count}I") for count in range(65))

_PUT_UNCHECKED: Final = int(Operation.PUT_UNCHECKED)
_IS_OVER: Final = tuple(
    operation in (Operation.UPDATE, Operation.KEY_UPDATE, Operation.DELETE, Operation.DELETE_UNCHECKED)
    for operation in range(256)
)


class RecordPlace(NamedTuple):
    """Where a record lies in its batch, and what its header says."""

    start: int
    end: int
    kind: int
    timestamp: Timestamp
    catalog_version: CatalogVersion


@dataclass(slots=True)
class Writes:
    """What transactions write, in the order of the journal."""

    puts: list[Entry] = field(default_factory=list)
    """Versions of which it is known whether they cover another."""
    puts_that_may_cover: list[Entry] = field(default_factory=list)
    covered: list[tuple[Timestamp, bytes]] = field(default_factory=list)
    """Keys of which an older version is there, with the timestamp of the one over it."""


class Remainder(NamedTuple):
    """What else is in a transaction record."""

    catalog_entry: bytes
    invalidates_running: bool
    dropped: tuple[Relfilenode, ...]
    deltas: list[tuple[int, int, int]]
    """(relfilenode, rows, bytes)"""


NOTHING: Final = Remainder(b"", False, (), [])


def open_batch(data: bytes) -> BatchHeader:
    """The header of a batch that is exactly `data` and intact."""
    header = decode_batch_header(data)
    if header.length != len(data):
        raise Malformed(f"a batch of {header.length} bytes came as {len(data)}")
    if not is_batch_intact(header, data):
        raise Malformed("the checksum of a batch is wrong")
    return header


def iterate_places(header: BatchHeader, data: bytes) -> Iterator[RecordPlace]:
    at, end = BATCH_HEADER_BYTES, header.length
    for _ in range(header.transactions):
        if end - at < RECORD_HEADER_BYTES:
            raise Malformed("the records of a batch do not fit into it")
        size, kind, timestamp, catalog_version = RECORD_HEADER.unpack_from(data, at)
        start = at + RECORD_HEADER_BYTES
        at = start + size + -size % ALIGNMENT
        if at > end:
            raise Malformed("a record reaches beyond its batch")
        yield RecordPlace(start, start + size, kind, timestamp, catalog_version)
    if at != end:
        raise Malformed("a batch is longer than its records")


class WritesPlace(NamedTuple):
    """Where the parts of a transaction's writes begin."""

    writes: int
    operations: int
    key_ends: int
    value_ends: int
    keys: int
    values: int


def add_transaction(writes: Writes, data: bytes, place: RecordPlace) -> Remainder:
    """Add what one transaction writes."""
    parts, locks, sizes = _open_record(data, place)
    end = _find_end_of_writes(data, parts, place)
    if parts.writes:
        add_slice(writes, data, parts, place.timestamp, 0, parts.writes)
    if not any(sizes[:3]):
        return NOTHING
    return _decode_remainder(data, end, place.end, locks, sizes)


def open_giant(data: bytes, place: RecordPlace) -> tuple[WritesPlace, Remainder]:
    """A transaction whose writes are to be taken in slices, with `add_slice`, because all at once take much memory."""
    parts, locks, sizes = _open_record(data, place)
    return parts, _decode_remainder(data, _find_end_of_writes(data, parts, place), place.end, locks, sizes)


def add_slice(writes: Writes, data: bytes, parts: WritesPlace, timestamp: Timestamp, first: int, count: int) -> None:
    """Add `count` of the writes, from number `first` on."""
    operations = data[parts.operations + first : parts.operations + first + count]
    layout = _ENDS[count] if count < len(_ENDS) else struct.Struct(f"<{count}I")
    key_ends = layout.unpack_from(data, parts.key_ends + 4 * first)
    value_ends = layout.unpack_from(data, parts.value_ends + 4 * first)
    keys_at, values_at = parts.keys, parts.values
    key_at, value_at = keys_at, values_at
    if first:
        key_at += _END.unpack_from(data, parts.key_ends + 4 * first - 4)[0]
        value_at += _END.unpack_from(data, parts.value_ends + 4 * first - 4)[0]
    suffix = _SUFFIX.pack(U64_MAX - timestamp)
    puts, may_cover, covered, is_over = writes.puts, writes.puts_that_may_cover, writes.covered, _IS_OVER
    for operation, key_end, value_end in zip(operations, key_ends, value_ends, strict=True):
        key_end += keys_at
        value_end += values_at
        key = data[key_at:key_end]
        entry = (key + suffix, data[value_at:value_end])
        key_at, value_at = key_end, value_end
        if operation == _PUT_UNCHECKED:
            may_cover.append(entry)
        else:
            puts.append(entry)
            if is_over[operation]:
                covered.append((timestamp, key))


def _open_record(data: bytes, place: RecordPlace) -> tuple[WritesPlace, int, tuple[int, int, int, int]]:
    """Where the writes are, the number of locks, and the sizes of the rest."""
    start, end = place.start, place.end
    if end - start < _HEADER.size:
        raise Malformed("a transaction record is shorter than its header")
    count, locks, entry_bytes, drops, deltas, flags = _HEADER.unpack_from(data, start)
    at = start + _HEADER.size
    keys = at + _WRITE_BYTES * count
    if keys > end:
        raise Malformed("the writes reach beyond their record")
    values = keys + _END.unpack_from(data, at + 5 * count - 4)[0] if count else keys
    parts = WritesPlace(count, at, at + count, at + 5 * count, keys, values)
    return parts, locks, (entry_bytes, drops, deltas, flags)


def _find_end_of_writes(data: bytes, parts: WritesPlace, place: RecordPlace) -> int:
    if not parts.writes:
        return parts.values
    end: int = parts.values + _END.unpack_from(data, parts.keys - 4)[0]
    if end > place.end:
        raise Malformed("the keys and values reach beyond their record")
    return end


def _decode_remainder(data: bytes, at: int, end: int, locks: int, sizes: tuple[int, int, int, int]) -> Remainder:
    entry_bytes, drops, deltas, flags = sizes
    if locks:
        keys_at = at + _LOCK_BYTES * locks
        if keys_at > end:
            raise Malformed("the locks reach beyond their record")
        at = keys_at + _END.unpack_from(data, keys_at - 4)[0]
    if at + entry_bytes + 4 * drops + _DELTA.size * deltas != end:
        raise Malformed("a transaction record does not end where its header says")
    drops_at = at + entry_bytes
    deltas_at = drops_at + 4 * drops
    return Remainder(
        data[at:drops_at],
        bool(entry_bytes) and not flags & KEEPS_RUNNING_TRANSACTIONS,
        struct.unpack_from(f"<{drops}I", data, drops_at) if drops else (),
        list(_DELTA.iter_unpack(data[deltas_at:end])) if deltas else [],
    )

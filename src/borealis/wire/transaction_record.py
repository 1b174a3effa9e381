"""The transaction record: what a query processor sends to commit, and what the journal keeps (docs/formats.md).

Owns its layout and every rule about a single record. Promises: a decoded record obeys all of them, whoever sent it, and
decoding costs memory in proportion to the bytes that are really there. A record of a million writes is decoded by a
handful of passes in C over whole arrays, which is why the checks look at arrays and not at elements. Query processors
write keys in ascending order; nothing relies on it, but what is in order is checked in fewer passes.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import accumulate, islice
from operator import itemgetter, lt, sub
from typing import Final, NamedTuple

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import (
    KEY_BYTES_MAX,
    TRANSACTION_ID_BYTES,
    CatalogVersion,
    Relfilenode,
    SchemaVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.frames import Octets


class Namespace(IntEnum):
    """First byte of a key."""

    ROW = 0x10
    INDEX = 0x20
    CATALOG = 0x30
    STATISTICS = 0x40


class Operation(IntEnum):
    INSERT = 1
    UPDATE = 2
    KEY_UPDATE = 3
    DELETE = 4
    PUT_UNCHECKED = 5
    DELETE_UNCHECKED = 6


class LockMode(IntEnum):
    KEY_SHARE = 1
    SHARE = 2
    NON_KEY_UPDATE = 3
    EXCLUSIVE = 4


class RelationDelta(NamedTuple):
    """How a transaction changes the size of a relation."""

    relfilenode: Relfilenode
    rows: int
    data_bytes: int


KEEPS_RUNNING_TRANSACTIONS: Final = 1
"""Header flag: the catalog entry does not invalidate running transactions (statistics)."""

# Namespace and relfilenode come first in every key; a lock on a whole table has nothing else.
TABLE_KEY_BYTES: Final = 5
KEY_BYTES_MIN: Final = TABLE_KEY_BYTES + 1

_HEADER: Final = struct.Struct("<16sQQQIIIIII")
_HEADER_BYTES: Final = _HEADER.size
_DELTA: Final = struct.Struct("<Iqq")
_WRITE_BYTES: Final = 9
_LOCK_BYTES: Final = 5
_WRITE_NAMESPACES: Final = frozenset((int(Namespace.ROW), int(Namespace.INDEX)))
_ALL_NAMESPACES: Final = frozenset(map(int, Namespace))
_ALL_OPERATIONS: Final = bytes(Operation)
_ALL_LOCK_MODES: Final = bytes(LockMode)
_HAS_VALUE: Final = bytes(
    operation not in (Operation.DELETE, Operation.DELETE_UNCHECKED) for operation in range(256)
)  # a table for bytes.translate
_first_byte: Final = itemgetter(0)
_FIRST_SCHEMA: Final = SchemaVersion(0)
_NO_ENTRY: Final = CatalogVersion(0)
# Compiled once for the sizes that matter: building a format string costs as much as unpacking four numbers.
_U32_ARRAYS: Final = tuple(struct.Struct(f"<{count}I") for count in range(129))


def _unpack_u32(count: int, data: Octets, offset: int) -> tuple[int, ...]:
    if count < len(_U32_ARRAYS):
        return _U32_ARRAYS[count].unpack_from(data, offset)
    return struct.unpack_from(f"<{count}I", data, offset)


def _cut_keys(blob: bytes, ends: Sequence[int], namespaces: frozenset[int], least_bytes: int) -> list[bytes]:
    """The keys that end at `ends`; a key is never empty, so that ends which fall are found by their empty slices."""
    keys = [blob[start:end] for start, end in zip((0, *ends), ends, strict=False)]
    lengths = set(map(len, keys))
    if min(lengths) < least_bytes or max(lengths) > KEY_BYTES_MAX:
        raise Malformed(f"a key is not {least_bytes} to {KEY_BYTES_MAX} bytes long")
    if not namespaces.issuperset(map(_first_byte, keys)):
        raise Malformed("a key is outside of the namespaces that are allowed")
    return keys


def _are_distinct(keys: Sequence[bytes]) -> bool:
    return all(map(lt, keys, islice(keys, 1, None))) or len(set(keys)) == len(keys)


def _check_values(operations: bytes, ends: Sequence[int]) -> None:
    has_value = operations.translate(_HAS_VALUE)
    if all(has_value) and all(map(lt, (0, *ends), ends)):
        return
    lengths = list(map(sub, ends, (0, *ends)))
    if min(lengths) < 0:
        raise Malformed("the value ends fall")
    if bytes(map(bool, lengths)) != has_value:
        raise Malformed("a value is empty where it must not be, or the other way round")


class TransactionRecord:
    """A checked record. `data` is the record as it came, and what the journal keeps."""

    __slots__ = (
        "_value_ends",
        "_values_at",
        "catalog_entry",
        "data",
        "deltas",
        "dropped",
        "follows_catalog_version",
        "invalidates_running",
        "keys",
        "lock_keys",
        "lock_modes",
        "operations",
        "read_timestamp",
        "schema_version",
        "transaction_id",
    )

    def __init__(self, data: Octets) -> None:
        """Decode and check. Raises Malformed."""
        if len(data) < _HEADER_BYTES:
            raise Malformed("a transaction record is shorter than its header")
        identifier, read, schema, follows, writes, locks, entry_bytes, drops, deltas, flags = _HEADER.unpack_from(data)
        least = _HEADER_BYTES + _WRITE_BYTES * writes + _LOCK_BYTES * locks + entry_bytes + 4 * drops
        if least + _DELTA.size * deltas > len(data):
            raise Malformed("a transaction record is shorter than its header announces")
        self.data = data
        self.transaction_id = TransactionId(identifier)
        self.read_timestamp = Timestamp(read)
        self.schema_version = SchemaVersion(schema)
        self.follows_catalog_version = CatalogVersion(follows)
        self.lock_modes = b""
        self.lock_keys: list[bytes] = []
        self.catalog_entry = b""
        self.invalidates_running = False
        self.dropped: tuple[Relfilenode, ...] = ()
        self.deltas: list[RelationDelta] = []
        at = self._decode_writes(writes)
        if locks:
            at = self._decode_locks(at, locks)
        if entry_bytes or flags or follows:
            at = self._decode_catalog_entry(at, entry_bytes, flags)
        if drops or deltas:
            at = self._decode_relations(at, drops, deltas)
        if at != len(data):
            raise Malformed("a transaction record does not end where its header says")

    def _decode_writes(self, count: int) -> int:
        data = self.data
        if not count:
            self.operations = b""
            self.keys: list[bytes] = []
            self._value_ends: tuple[int, ...] = ()
            self._values_at = _HEADER_BYTES
            return _HEADER_BYTES
        operations = bytes(data[_HEADER_BYTES : _HEADER_BYTES + count])
        if operations.strip(_ALL_OPERATIONS):
            raise Malformed("an operation is not known")
        ends = _unpack_u32(2 * count, data, _HEADER_BYTES + count)
        key_ends, value_ends = ends[:count], ends[count:]
        keys_at = _HEADER_BYTES + _WRITE_BYTES * count
        values_at = keys_at + key_ends[-1]
        end = values_at + value_ends[-1]
        if end > len(data):
            raise Malformed("the keys and values reach beyond the record")
        keys = _cut_keys(bytes(data[keys_at:values_at]), key_ends, _WRITE_NAMESPACES, KEY_BYTES_MIN)
        if not _are_distinct(keys):
            raise Malformed("a key occurs twice among the writes")
        _check_values(operations, value_ends)
        self.operations = operations
        self.keys = keys
        self._value_ends = value_ends
        self._values_at = values_at
        return end

    def _decode_locks(self, at: int, count: int) -> int:
        data = self.data
        keys_at = at + _LOCK_BYTES * count
        if keys_at > len(data):
            raise Malformed("the locks reach beyond the record")
        modes = bytes(data[at : at + count])
        if modes.strip(_ALL_LOCK_MODES):
            raise Malformed("a lock mode is not known")
        ends = _unpack_u32(count, data, at + count)
        end = keys_at + ends[-1]
        if end > len(data):
            raise Malformed("the lock keys reach beyond the record")
        self.lock_modes = modes
        self.lock_keys = _cut_keys(bytes(data[keys_at:end]), ends, _ALL_NAMESPACES, TABLE_KEY_BYTES)
        for mode, key in zip(modes, self.lock_keys, strict=True):
            if len(key) == TABLE_KEY_BYTES and (mode != LockMode.EXCLUSIVE or key[0] != Namespace.ROW):
                raise Malformed("a whole table can only be locked in exclusive mode")
        return end

    def _decode_catalog_entry(self, at: int, size: int, flags: int) -> int:
        if flags & ~KEEPS_RUNNING_TRANSACTIONS:
            raise Malformed("a flag is not known")
        if not size and (flags or self.follows_catalog_version):
            raise Malformed("a catalog version or flag is given without a catalog entry")
        if at + size > len(self.data):
            raise Malformed("the catalog entry reaches beyond the record")
        self.catalog_entry = bytes(self.data[at : at + size])
        self.invalidates_running = bool(size) and not flags
        return at + size

    def _decode_relations(self, at: int, drops: int, deltas: int) -> int:
        end = at + 4 * drops + _DELTA.size * deltas
        if end > len(self.data):
            raise Malformed("the relations reach beyond the record")
        if drops:
            self.dropped = tuple(map(Relfilenode, _unpack_u32(drops, self.data, at)))
            if not all(self.dropped):
                raise Malformed("a dropped relfilenode is zero")
        if deltas:
            rows = _DELTA.iter_unpack(memoryview(self.data)[at + 4 * drops : end])
            self.deltas = [RelationDelta._make(row) for row in rows]
            if not all(map(_first_byte, self.deltas)):
                raise Malformed("the relfilenode of a delta is zero")
        return end

    def values(self) -> list[bytes]:
        """The value of each write, in the order of `keys`; empty for deletes."""
        if not self.keys:
            return []
        at = self._values_at
        blob = bytes(self.data[at : at + self._value_ends[-1]])
        return [blob[start:end] for start, end in zip((0, *self._value_ends), self._value_ends, strict=False)]

    def writes(self) -> Iterator[tuple[int, bytes, bytes]]:
        """(operation, key, value) of each write."""
        return zip(self.operations, self.keys, self.values(), strict=True)

    def locks(self) -> Iterator[tuple[int, bytes]]:
        """(mode, key) of each lock."""
        return zip(self.lock_modes, self.lock_keys, strict=True)


def encode_transaction(
    transaction_id: TransactionId,
    read_timestamp: Timestamp,
    schema_version: SchemaVersion = _FIRST_SCHEMA,
    *,
    writes: Sequence[tuple[int, bytes, bytes]] = (),
    locks: Sequence[tuple[int, bytes]] = (),
    catalog_entry: bytes = b"",
    follows_catalog_version: CatalogVersion = _NO_ENTRY,
    invalidates_running: bool = True,
    dropped: Sequence[Relfilenode] = (),
    deltas: Sequence[RelationDelta] = (),
) -> bytes:
    """A record as a query processor would send it. Nothing is checked but the length of the transaction id."""
    if len(transaction_id) != TRANSACTION_ID_BYTES:
        raise ValueError(f"a transaction id has {TRANSACTION_ID_BYTES} bytes")
    flags = KEEPS_RUNNING_TRANSACTIONS if catalog_entry and not invalidates_running else 0
    header = _HEADER.pack(
        transaction_id,
        read_timestamp,
        schema_version,
        follows_catalog_version,
        len(writes),
        len(locks),
        len(catalog_entry),
        len(dropped),
        len(deltas),
        flags,
    )
    return b"".join(
        (
            header,
            bytes(operation for operation, _, _ in writes),
            _pack_ends(key for _, key, _ in writes),
            _pack_ends(value for _, _, value in writes),
            *(key for _, key, _ in writes),
            *(value for _, _, value in writes),
            bytes(mode for mode, _ in locks),
            _pack_ends(key for _, key in locks),
            *(key for _, key in locks),
            catalog_entry,
            struct.pack(f"<{len(dropped)}I", *dropped),
            *(_DELTA.pack(*delta) for delta in deltas),
        )
    )


def _pack_ends(items: Iterable[bytes]) -> bytes:
    ends = list(accumulate(map(len, items)))
    return struct.pack(f"<{len(ends)}I", *ends)


class RecordOutline(NamedTuple):
    """What recovery needs of a record in the journal, found without decoding the rest."""

    transaction_id: TransactionId
    has_catalog_entry: bool
    invalidates_running: bool
    dropped: tuple[Relfilenode, ...]


def decode_outline(data: Octets) -> RecordOutline:
    """The outline of a record that was checked when it was admitted. Raises Malformed if it cannot be one."""
    if len(data) < _HEADER_BYTES:
        raise Malformed("a transaction record is shorter than its header")
    identifier, _, _, _, _, _, entry_bytes, drops, deltas, flags = _HEADER.unpack_from(data)
    at = len(data) - _DELTA.size * deltas - 4 * drops
    if at < _HEADER_BYTES + entry_bytes:
        raise Malformed("a transaction record is shorter than its header announces")
    dropped = tuple(map(Relfilenode, _unpack_u32(drops, data, at))) if drops else ()
    return RecordOutline(TransactionId(identifier), bool(entry_bytes), bool(entry_bytes) and not flags, dropped)

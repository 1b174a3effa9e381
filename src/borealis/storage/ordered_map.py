"""The little that storage asks of an ordered map, and an implementation in memory.

Owns the interface between the decisions of storage and the thing that keeps the bytes. Promises: a write transaction
becomes visible as a whole when its block ends, and not at all when the block raises; a scan yields entries in byte
order. `LmdbMap` (lmdb_map.py) keeps them in a file; `MemoryMap` serves the simulation and the tests.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from itertools import islice
from typing import Protocol

from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.storage.garbage import clear_key, clear_relation, sweep
from borealis.storage.stored_key import TIMESTAMP_BYTES, timestamp_suffix

Entry = tuple[bytes, bytes]


class Table(Enum):
    """The named databases of the map; values are their names."""

    VERSIONS = b"versions"
    META = b"meta"
    DROPS = b"drops"


class OutOfRoom(Unavailable):
    """There is no room for what was to be written; nothing of the transaction was kept, and it may be tried again."""


class MapReader(Protocol):
    """What a transaction sees: the state it began with plus its own writes."""

    def get(self, table: Table, key: bytes) -> bytes | None: ...

    def scan(self, table: Table, start: bytes) -> Iterator[Entry]:
        """Entries from the first key at or after `start`. No writes while it is being consumed."""
        ...


class MapWriter(MapReader, Protocol):
    def put(self, table: Table, entries: Iterable[Entry]) -> None:
        """Write the entries, replacing those with the same key. Ascending keys are fastest."""
        ...

    def put_versions_over(self, entries: Iterable[Entry]) -> list[bytes]:
        """Write versions, given in ascending order; return the stored keys of those over an older version."""
        ...

    def delete(self, table: Table, keys: Iterable[bytes]) -> None:
        """Delete the entries with these keys; a key that is not there is no error."""
        ...

    def clear_keys(self, keys: Sequence[bytes], horizon: Timestamp, limit: int) -> tuple[int, list[bytes]]:
        """Delete the garbage of keys, at most `limit` versions and a tombstone each: how many, and who has more."""
        ...

    def clear_relation(self, prefix: bytes, dropped_at: Timestamp, limit: int) -> tuple[int, bool]:
        """Delete what is under a prefix and not newer than a drop: how many, and whether that is all."""
        ...


class OrderedMap(Protocol):
    def read(self) -> AbstractContextManager[MapReader]: ...

    def write(self) -> AbstractContextManager[MapWriter]:
        """A block that commits at its end. Raises OutOfRoom, in the block or at its end."""
        ...

    def sweep(self, start: bytes, horizon: Timestamp, entries: int) -> tuple[int, bytes | None]:
        """Delete the garbage among so many versions from `start` on, in one transaction.

        How many there were, and where to go on (None: there is nothing behind). Raises OutOfRoom.
        """
        ...


class _MemoryTransaction:
    def __init__(self, tables: dict[Table, dict[bytes, bytes]]) -> None:
        self.tables = {table: dict(entries) for table, entries in tables.items()}
        self._sorted: dict[Table, list[bytes]] = {}

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.tables[table].get(key)

    def scan(self, table: Table, start: bytes) -> Iterator[Entry]:
        entries = self.tables[table]
        keys = self._sorted_keys(table)
        for position in range(bisect_left(keys, start), len(keys)):
            yield keys[position], entries[keys[position]]

    def put(self, table: Table, entries: Iterable[Entry]) -> None:
        self.tables[table].update(entries)
        self._sorted.pop(table, None)

    def put_versions_over(self, entries: Iterable[Entry]) -> list[bytes]:
        written = list(entries)
        self.put(Table.VERSIONS, written)
        return [stored for stored, _ in written if self._has_older_version(stored)]

    def delete(self, table: Table, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.tables[table].pop(key, None)
        self._sorted.pop(table, None)

    def clear_keys(self, keys: Sequence[bytes], horizon: Timestamp, limit: int) -> tuple[int, list[bytes]]:
        suffix = timestamp_suffix(horizon)
        total, left = 0, []
        for key in keys:
            deleted, is_all = clear_key(_MemoryCursor(self), key, suffix, limit - total)
            total += deleted
            if not is_all:
                left.append(key)
        return total, left

    def clear_relation(self, prefix: bytes, dropped_at: Timestamp, limit: int) -> tuple[int, bool]:
        return clear_relation(_MemoryCursor(self), prefix, dropped_at, limit)

    def _has_older_version(self, stored: bytes) -> bool:
        keys = self._sorted_keys(Table.VERSIONS)
        following: Sequence[bytes] = keys[bisect_left(keys, stored) + 1 :][:1]
        return any(other[:-TIMESTAMP_BYTES] == stored[:-TIMESTAMP_BYTES] for other in following)

    def _sorted_keys(self, table: Table) -> list[bytes]:
        if table not in self._sorted:
            self._sorted[table] = sorted(self.tables[table])
        return self._sorted[table]


class _MemoryCursor:
    def __init__(self, transaction: _MemoryTransaction) -> None:
        self._transaction = transaction
        self._stored = b""

    def set_range(self, stored: bytes) -> bool:
        self._stored = next((key for key, _ in self._transaction.scan(Table.VERSIONS, stored)), b"")
        return bool(self._stored)

    def set_key(self, stored: bytes) -> bool:
        return self.set_range(stored) and self._stored == stored

    def key(self) -> bytes:
        return self._stored

    def value(self) -> bytes:
        return self._transaction.tables[Table.VERSIONS][self._stored]

    def next(self) -> bool:
        return self.set_range(self._stored + b"\0")

    def delete(self) -> bool:
        self._transaction.delete(Table.VERSIONS, [self._stored])
        return self.next()


class MemoryMap:
    """A map in memory. `tables` is its committed state; a copy of it is what a snapshot or a crash leaves behind."""

    def __init__(self, tables: dict[Table, dict[bytes, bytes]] | None = None) -> None:
        self.tables = {table: dict((tables or {}).get(table, {})) for table in Table}

    @contextmanager
    def read(self) -> Iterator[MapReader]:
        yield _MemoryTransaction(self.tables)

    @contextmanager
    def write(self) -> Iterator[MapWriter]:
        transaction = _MemoryTransaction(self.tables)
        yield transaction
        self.tables = transaction.tables

    def sweep(self, start: bytes, horizon: Timestamp, entries: int) -> tuple[int, bytes | None]:
        with self.read() as reader:
            versions = ((key, not value) for key, value in reader.scan(Table.VERSIONS, start))
            piece = list(islice(versions, entries))
        found = sweep(piece, horizon, is_all=len(piece) < entries)
        if found.garbage:
            with self.write() as writer:
                writer.delete(Table.VERSIONS, found.garbage)
        return len(found.garbage), found.resume

"""The ordered map in a file: LMDB 1.0 (format 1), one writer, readers in any number of processes.

Owns the environment. Promises: no LMDB error leaves here untranslated; a write transaction never touches a page of the
file that has no disk block. The environment is written through the map (MDB_WRITEMAP), which halves the cost of a small
commit, but would turn a full disk into a SIGBUS; therefore blocks are reserved ahead of need. LMDB makes the file as
long as the map can ever become; it is cut back, because whoever copies it without care for holes would fill a disk.
Nothing is synced: a process may die at any time without harm, after a power loss the map is not trusted (recovery.py).
Why this format and these flags: docs/decisions/0001-lmdb-format.md.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import lmdb

from borealis.foundation.errors import BorealisError, Unavailable
from borealis.storage.garbage import VersionCursor
from borealis.storage.ordered_map import Entry, MapReader, MapWriter, OutOfRoom, Table
from borealis.storage.settings import MEBIBYTE, StorageSettings
from borealis.storage.stored_key import TIMESTAMP_BYTES

LIBRARY_VERSION: Final = 1
DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"
DATA_PERMISSIONS: Final = 0o640
LOCK_PERMISSIONS: Final = 0o660

# Pages that a transaction writes whatever it does: roots, `meta`, the ends of the list of free pages.
_PAGES_PER_TRANSACTION: Final = 64
# A transaction may write the list of free pages anew: eight bytes for each page of the file, kept in pages itself.
_USED_BYTES_PER_FREE_LIST_BYTE: Final = 128
# What the file is longer than its reserved blocks, as a hole. Only for the case that the reckoning below is wrong.
_FILE_MARGIN_BYTES: Final = 256 * MEBIBYTE
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class DamagedMap(Unavailable):
    """The map cannot be opened; the text says what to do."""


class _Reader:
    __slots__ = ("_tables", "_transaction")

    def __init__(self, transaction: Any, tables: dict[Table, Any]) -> None:
        self._transaction = transaction
        self._tables = tables

    def get(self, table: Table, key: bytes) -> bytes | None:
        value = self._transaction.get(key, db=self._tables[table])
        return None if value is None else bytes(value)

    def scan(self, table: Table, start: bytes) -> Iterator[Entry]:
        with self._transaction.cursor(self._tables[table]) as cursor:
            if cursor.set_range(start):
                for key, value in cursor.iternext(keys=True, values=True):
                    yield bytes(key), bytes(value)

    def scan_versions(self, start: bytes) -> Iterator[tuple[bytes, bool]]:
        with self._transaction.cursor(self._tables[Table.VERSIONS]) as cursor:
            if cursor.set_range(start):
                for key, value in cursor.iternext(keys=True, values=True):
                    yield bytes(key), not value


class _Writer(_Reader):
    __slots__ = ()

    def put(self, table: Table, entries: Iterable[Entry]) -> None:
        with self._transaction.cursor(self._tables[table]) as cursor:
            cursor.putmulti(entries)

    def put_versions_over(self, entries: Iterable[Entry]) -> list[bytes]:
        covered: list[bytes] = []
        with self._transaction.cursor(self._tables[Table.VERSIONS]) as cursor:
            for stored, value in entries:
                cursor.put(stored, value)
                if cursor.next() and cursor.key()[:-TIMESTAMP_BYTES] == stored[:-TIMESTAMP_BYTES]:
                    covered.append(stored)
        return covered

    def delete(self, table: Table, keys: Iterable[bytes]) -> None:
        delete, handle = self._transaction.delete, self._tables[table]
        for key in keys:
            delete(key, db=handle)

    def version_cursor(self) -> AbstractContextManager[VersionCursor]:
        cursor: AbstractContextManager[VersionCursor] = self._transaction.cursor(self._tables[Table.VERSIONS])
        return cursor


class _Block:
    """A transaction as a block: commits at the end of a write, aborts when the block raises."""

    __slots__ = ("_is_write", "_owner", "_transaction")

    def __init__(self, owner: "LmdbMap", is_write: bool) -> None:
        self._owner = owner
        self._is_write = is_write

    def __enter__(self) -> Any:
        self._transaction = self._owner.begin(self._is_write)
        return (_Writer if self._is_write else _Reader)(self._transaction, self._owner.tables)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._is_write:
            try:
                self._transaction.commit()
            except lmdb.Error as failure:
                raise _translate(failure) from failure
            return
        self._transaction.abort()
        if isinstance(error, lmdb.Error):
            raise _translate(error) from error


class LmdbMap:
    """The open environment. One per process and directory."""

    def __init__(self, directory: Path, settings: StorageSettings) -> None:
        """Open or create. Raises DamagedMap, or OutOfRoom when not even an empty map fits on the disk."""
        self.directory = directory
        self.data_path = directory / DATA_FILE
        self._settings = settings
        self._environment = _open_environment(directory, settings)
        self.tables: dict[Table, Any] = {}
        try:
            self._page_bytes: int = self._environment.stat()["psize"]
            self._data = os.open(self.data_path, os.O_RDWR | os.O_CLOEXEC)
            os.chmod(self.data_path, DATA_PERMISSIONS)
            os.chmod(directory / LOCK_FILE, LOCK_PERMISSIONS)
            self._reserved_bytes = 0
            self._promised_bytes = 0
            self._depth = 0
            self._free_list_bytes = 0
            for table in Table:
                self.tables[table] = self._open_table(table)
            self._look()
        except lmdb.Error as error:
            self._environment.close()
            raise _translate(error) from error

    def _open_table(self, table: Table) -> Any:
        """Opening takes no room, so that a map on a full disk can be opened; making does."""
        try:
            return self._environment.open_db(table.value, create=False)
        except lmdb.NotFoundError:
            self._reserve(1, 0)
            return self._environment.open_db(table.value)

    def begin(self, is_write: bool) -> Any:
        try:
            return self._environment.begin(write=is_write, buffers=True)
        except lmdb.Error as error:
            raise _translate(error) from error

    def read(self) -> AbstractContextManager[MapReader]:
        return _Block(self, is_write=False)

    def write(self, changes: int, put_bytes: int) -> AbstractContextManager[MapWriter]:
        self._reserve(changes, put_bytes)
        return _Block(self, is_write=True)

    def copy(self, descriptor: int, transaction: Any) -> None:
        """Write a compact copy of what a read transaction (from `begin`) sees; returns when all of it is written."""
        try:
            self._environment.copyfd(descriptor, compact=True, txn=transaction)
        except lmdb.Error as error:
            raise _translate(error) from error

    def used_bytes(self) -> int:
        """Bytes of the file up to its last page in use."""
        return int((self._environment.info()["last_pgno"] + 1) * self._page_bytes)

    def check_readers(self) -> int:
        """Free the reader slots of processes that died; how many there were."""
        return int(self._environment.reader_check())

    def close(self, is_clean: bool) -> None:
        """With `is_clean` everything is on the disk afterwards, and the file as short as its contents."""
        used = self.used_bytes()
        if is_clean:
            self._environment.sync(True)
        self._environment.close()
        if is_clean:
            os.ftruncate(self._data, used)
            os.fsync(self._data)
        os.close(self._data)

    def _reserve(self, changes: int, put_bytes: int) -> None:
        """Have blocks for a transaction of so many changes. Reckons with the worst case; looks when that runs out."""
        needed = self._worst_case(changes, put_bytes)
        if self._promised_bytes + needed <= self._reserved_bytes:
            self._promised_bytes += needed
            return
        used = self._look()
        needed = self._worst_case(changes, put_bytes)
        end = used + needed
        settings = self._settings
        ahead = max(settings.reserve_bytes_min, min(used // 8, settings.reserve_bytes_max))
        if end > self._reserved_bytes and not (self._allocate(end + ahead) or self._allocate(end)):
            raise OutOfRoom(f"no room on the disk for {needed >> 10} KiB more of {self.data_path}")
        self._promised_bytes = end

    def _worst_case(self, changes: int, put_bytes: int) -> int:
        """Bytes of new pages: each change copies its path, splits as many pages and the root, adds one for its value.

        One level more than there was at the last look: the tree cannot have grown by two since.
        """
        pages = changes * (2 * (self._depth + 1) + 2) + _PAGES_PER_TRANSACTION
        return pages * self._page_bytes + put_bytes + self._free_list_bytes

    def _look(self) -> int:
        used = self.used_bytes()
        self._free_list_bytes = used // _USED_BYTES_PER_FREE_LIST_BYTE
        if Table.VERSIONS in self.tables:
            with self._environment.begin(db=self.tables[Table.VERSIONS]) as transaction:
                self._depth = transaction.stat(self.tables[Table.VERSIONS])["depth"]
        return used

    def _allocate(self, end: int) -> bool:
        try:
            _allocate_blocks(self._data, self._reserved_bytes, end)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return False
            raise
        self._reserved_bytes = end
        os.ftruncate(self._data, min(end + _FILE_MARGIN_BYTES, self._settings.map_bytes_max))
        return True


def _allocate_blocks(descriptor: int, start: int, end: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, end - start)
        return
    # Without a way to reserve, look: what others take in the meantime is a risk that remains.
    status = os.fstatvfs(descriptor)
    if status.f_bavail * status.f_frsize < end - start:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open_environment(directory: Path, settings: StorageSettings) -> Any:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return lmdb.open(
            str(directory),
            map_size=settings.map_bytes_max,
            max_readers=settings.map_readers_max,
            max_dbs=len(Table),
            lib_version=LIBRARY_VERSION,
            writemap=True,
            sync=False,
            metasync=False,
            readahead=False,
            mode=LOCK_PERMISSIONS,
        )
    except lmdb.Error as error:
        raise _translate_opening(error, directory) from error


def _translate_opening(error: lmdb.Error, directory: Path) -> BorealisError:
    if isinstance(error, (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.PageNotFoundError)):
        return DamagedMap(
            f"{directory / DATA_FILE} is damaged or not a map of this version ({error}). It can be rebuilt: move "
            f"{directory} away and start again; storage then begins from its newest snapshot and the journal."
        )
    return _translate(error)


def _translate(error: lmdb.Error) -> BorealisError:
    if isinstance(error, lmdb.MapFullError):
        return OutOfRoom("the map has reached its largest size (map_bytes_max)")
    if any(os.strerror(number) in str(error) for number in _NO_ROOM):
        return OutOfRoom(f"no room for the map: {error}")
    if isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError)):
        return DamagedMap(f"the map is damaged: {error}. Move it away and start again to rebuild it from its snapshot.")
    return Unavailable(f"the map cannot be used: {error}")

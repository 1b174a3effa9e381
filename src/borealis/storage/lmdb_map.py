"""The ordered map in a file: LMDB 1.0 (format 1), one writer, readers in any number of processes.

Owns the environment. Promises: no LMDB error leaves here untranslated; a transaction that finds no room on the disk
leaves nothing behind. Nothing is synced: a process may die at any time without harm, after a power loss the map is not
trusted (recovery.py). Why this format and these flags: docs/decisions/0001-lmdb-format.md.
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
from borealis.storage.settings import StorageSettings
from borealis.storage.stored_key import TIMESTAMP_BYTES

LIBRARY_VERSION: Final = 1
DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"
DATA_PERMISSIONS: Final = 0o640
LOCK_PERMISSIONS: Final = 0o660

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
        self._environment = _open_environment(directory, settings)
        self.tables: dict[Table, Any] = {}
        try:
            os.chmod(directory / DATA_FILE, DATA_PERMISSIONS)
            os.chmod(directory / LOCK_FILE, LOCK_PERMISSIONS)
            for table in Table:
                self.tables[table] = self._environment.open_db(table.value)
        except lmdb.Error as error:
            self._environment.close()
            raise _translate(error) from error

    def begin(self, is_write: bool) -> Any:
        try:
            return self._environment.begin(write=is_write, buffers=True)
        except lmdb.Error as error:
            raise _translate(error) from error

    def read(self) -> AbstractContextManager[MapReader]:
        return _Block(self, is_write=False)

    def write(self) -> AbstractContextManager[MapWriter]:
        return _Block(self, is_write=True)

    def copy(self, descriptor: int, transaction: Any) -> None:
        """Write a compact copy of what a read transaction (from `begin`) sees; returns when all of it is written."""
        try:
            self._environment.copyfd(descriptor, compact=True, txn=transaction)
        except lmdb.Error as error:
            raise _translate(error) from error

    def check_readers(self) -> int:
        """Free the reader slots of processes that died; how many there were."""
        return int(self._environment.reader_check())

    def close(self, is_clean: bool) -> None:
        """With `is_clean` everything is on the disk afterwards."""
        try:
            if is_clean:
                self._environment.sync(True)
        except lmdb.Error as error:
            raise _translate(error) from error
        finally:
            self._environment.close()


def _open_environment(directory: Path, settings: StorageSettings) -> Any:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return lmdb.open(
            str(directory),
            map_size=settings.map_bytes_max,
            max_readers=settings.map_readers_max,
            max_dbs=len(Table),
            lib_version=LIBRARY_VERSION,
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
        return OutOfRoom(f"no room on the disk for the map: {error}")
    if isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError)):
        return DamagedMap(f"the map is damaged: {error}. Move it away and start again to rebuild it from its snapshot.")
    return Unavailable(f"the map cannot be used: {error}")

"""The ordered map in a file: LMDB 1.0 (format 1), one writer, readers in any number of processes.

Owns the environment, which lives in the C library (library.py). Promises: no status of LMDB leaves here untranslated; a
transaction that finds no room on the disk leaves nothing behind. Nothing is synced: a process may die at any time
without harm, after a power loss the map is not trusted (recovery.py). Why this format and these flags:
docs/decisions/0001-lmdb-format.md.
"""

import errno
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from ctypes import byref, c_int, c_size_t, c_uint8, c_uint64, c_void_p, create_string_buffer, string_at
from itertools import chain
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any, Final

from borealis.foundation.errors import BorealisError, Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.storage.library import library
from borealis.storage.ordered_map import Entry, MapReader, MapWriter, OutOfRoom, Table
from borealis.storage.settings import StorageSettings

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"
DATA_PERMISSIONS: Final = 0o640
LOCK_PERMISSIONS: Final = 0o660

_TABLE_NUMBERS: Final = {table: number for number, table in enumerate(Table)}
_SCAN_BYTES: Final = 1 << 16
_STORED_KEY_BYTES_MAX: Final = 1_978
_SCANNED_SIZES: Final = Struct("<II")

_NOT_FOUND: Final = -30798
_PAGE_NOT_FOUND: Final = -30797
_CORRUPTED: Final = -30796
_PANIC: Final = -30795
_VERSION_MISMATCH: Final = -30794
_INVALID: Final = -30793
_MAP_FULL: Final = -30792
_SHORT_WRITE: Final = -30772
"""Some of the pages of a write found room, the others did not."""


class DamagedMap(Unavailable):
    """The map cannot be opened; the text says what to do."""


def _check(status: int) -> None:
    if status:
        raise translate(status)


def _sizes(octets: Iterable[bytes]) -> "array[int]":
    return array("I", map(len, octets))


class _Reader:
    __slots__ = ("_map", "_transaction")

    def __init__(self, opened: c_void_p, transaction: c_void_p) -> None:
        self._map = opened
        self._transaction = transaction

    def get(self, table: Table, key: bytes) -> bytes | None:
        value, size = c_void_p(), c_size_t()
        status = library.storage_get(
            self._map, self._transaction, _TABLE_NUMBERS[table], key, len(key), byref(value), byref(size)
        )
        if status == _NOT_FOUND:
            return None
        _check(status)
        return string_at(value.value or 0, size.value)

    def scan(self, table: Table, start: bytes) -> Iterator[Entry]:
        room = _SCAN_BYTES
        buffer = create_string_buffer(room)
        entries, needed = c_size_t(), c_size_t(1)
        while needed.value:
            status = library.storage_scan(
                *(self._map, self._transaction, _TABLE_NUMBERS[table], start, len(start)),
                *(buffer, room, byref(entries), byref(needed)),
            )
            _check(status)
            for key, value in _unpack(buffer.raw, entries.value):
                yield key, value
                start = key + b"\0"
            if needed.value > room:
                room = needed.value
                buffer = create_string_buffer(room)


def _unpack(packed: bytes, entries: int) -> Iterator[Entry]:
    """Entries as the library packs them."""
    at = 0
    for _ in range(entries):
        key_size, value_size = _SCANNED_SIZES.unpack_from(packed, at)
        at += _SCANNED_SIZES.size
        yield packed[at : at + key_size], packed[at + key_size : at + key_size + value_size]
        at += key_size + value_size


class _Writer(_Reader):
    __slots__ = ()

    def put(self, table: Table, entries: Iterable[Entry]) -> None:
        written = list(entries)
        sizes = _sizes(chain.from_iterable(written))
        blob = b"".join(chain.from_iterable(written))
        address, _ = sizes.buffer_info()
        _check(library.storage_put(self._map, self._transaction, _TABLE_NUMBERS[table], blob, address, len(written)))

    def put_versions_over(self, entries: Iterable[Entry]) -> list[bytes]:
        written = list(entries)
        sizes = _sizes(chain.from_iterable(written))
        blob = b"".join(chain.from_iterable(written))
        address, _ = sizes.buffer_info()
        is_over = create_string_buffer(len(written) + 1)
        _check(library.storage_put_over(self._map, self._transaction, blob, address, len(written), is_over))
        return [stored for (stored, _), over in zip(written, is_over.raw, strict=False) if over]

    def delete(self, table: Table, keys: Iterable[bytes]) -> None:
        deleted = list(keys)
        sizes = _sizes(deleted)
        address, _ = sizes.buffer_info()
        _check(
            library.storage_delete(
                self._map, self._transaction, _TABLE_NUMBERS[table], b"".join(deleted), address, len(deleted)
            )
        )

    def clear_keys(self, keys: Sequence[bytes], horizon: Timestamp, limit: int) -> tuple[int, list[bytes]]:
        sizes = _sizes(keys)
        address, _ = sizes.buffer_info()
        deleted = c_uint64()
        is_all = create_string_buffer(len(keys) + 1)
        _check(
            library.storage_clear_keys(
                *(self._map, self._transaction, b"".join(keys), address, len(keys)),
                *(horizon, limit, byref(deleted), is_all),
            )
        )
        return deleted.value, [key for key, done in zip(keys, is_all.raw, strict=False) if not done]

    def clear_relation(self, prefix: bytes, dropped_at: Timestamp, limit: int) -> tuple[int, bool]:
        deleted, is_all = c_uint64(), c_uint8()
        _check(
            library.storage_clear_relation(
                *(self._map, self._transaction, prefix, len(prefix)),
                *(dropped_at, limit, byref(deleted), byref(is_all)),
            )
        )
        return deleted.value, bool(is_all.value)


class _Block:
    """A transaction as a block: commits at the end of a write, aborts when the block raises."""

    __slots__ = ("_is_write", "_map", "_transaction")

    def __init__(self, opened: c_void_p, is_write: bool) -> None:
        self._map = opened
        self._is_write = is_write

    def __enter__(self) -> Any:
        self._transaction = c_void_p()
        _check(library.storage_begin(self._map, self._is_write, byref(self._transaction)))
        return (_Writer if self._is_write else _Reader)(self._map, self._transaction)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._is_write:
            _check(library.storage_commit(self._transaction))
        else:
            library.storage_abort(self._transaction)


class LmdbMap:
    """The open environment. One per process and directory."""

    def __init__(self, directory: Path, settings: StorageSettings) -> None:
        """Open or create. Raises DamagedMap, or OutOfRoom when not even an empty map fits on the disk."""
        directory.mkdir(parents=True, exist_ok=True)
        self.handle = c_void_p()
        """For who works on the map in the library, as long as this object is open."""
        status = library.storage_map_open(
            *(os.fsencode(directory), settings.map_bytes_max, settings.map_readers_max, LOCK_PERMISSIONS),
            byref(self.handle),
        )
        if status:
            raise _translate_opening(status, directory)
        os.chmod(directory / DATA_FILE, DATA_PERMISSIONS)
        os.chmod(directory / LOCK_FILE, LOCK_PERMISSIONS)

    def read(self) -> AbstractContextManager[MapReader]:
        return _Block(self.handle, is_write=False)

    def write(self) -> AbstractContextManager[MapWriter]:
        return _Block(self.handle, is_write=True)

    def sweep(self, start: bytes, horizon: Timestamp, entries: int) -> tuple[int, bytes | None]:
        deleted, size = c_size_t(), c_size_t()
        resume = create_string_buffer(_STORED_KEY_BYTES_MAX)
        _check(
            library.storage_sweep(
                *(self.handle, start, len(start), horizon, entries), byref(deleted), resume, byref(size)
            )
        )
        return deleted.value, resume.raw[: size.value] or None

    def copy(self, descriptor: int) -> None:
        """Write a compact copy; returns when all of it is written. Which state is settled before the first byte is."""
        _check(library.storage_map_copy(self.handle, descriptor))

    def check_readers(self) -> int:
        """Free the reader slots of processes that died; how many there were."""
        dead = c_int()
        _check(library.storage_map_check_readers(self.handle, byref(dead)))
        return dead.value

    def close(self, is_clean: bool) -> None:
        """With `is_clean` everything is on the disk afterwards."""
        try:
            if is_clean:
                _check(library.storage_map_sync(self.handle))
        finally:
            library.storage_map_close(self.handle)
            self.handle = c_void_p()


def _text(status: int) -> str:
    text: bytes = library.storage_error_text(status)
    return text.decode()


def _translate_opening(status: int, directory: Path) -> BorealisError:
    if status in (_INVALID, _VERSION_MISMATCH, _CORRUPTED, _PAGE_NOT_FOUND):
        return DamagedMap(
            f"{directory / DATA_FILE} is damaged or not a map of this version ({_text(status)}). It can be rebuilt: "
            f"move {directory} away and start again; storage then begins from its newest snapshot and the journal."
        )
    return translate(status)


def translate(status: int) -> BorealisError:
    """What a status of LMDB means."""
    if status == _MAP_FULL:
        return OutOfRoom("the map has reached its largest size (map_bytes_max)")
    if status in (errno.ENOSPC, errno.EDQUOT, _SHORT_WRITE):
        return OutOfRoom(f"no room on the disk for the map: {_text(status)}")
    if status in (_CORRUPTED, _PAGE_NOT_FOUND, _PANIC):
        return DamagedMap(
            f"the map is damaged: {_text(status)}. Move it away and start again to rebuild it from its snapshot."
        )
    return Unavailable(f"the map cannot be used: {_text(status)}")

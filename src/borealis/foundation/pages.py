"""Shared pages: 4,096 bytes of u64 words with one owner, mapped read-only by everybody else (docs/formats.md).

Promises: a word is written by one aligned 8-byte store; the file is created once, complete before its magic is set, and
rewritten in place by a restarted owner, because its readers keep their mapping. Assumes: one owner at a time.
"""

import mmap
import os
import threading
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Timestamp

PAGE_BYTES: Final = 4096
WORD_BYTES: Final = 8
TRANSACTIONS_MAGIC: Final = b"BRLSTXN1"
STORAGE_MAGIC: Final = b"BRLSSTO1"


class TransactionsWord(IntEnum):
    """Word numbers (byte offset / 8) of `transactions.page`."""

    ACKNOWLEDGED = 1
    SCHEMA_VERSION = 2
    CATALOG_VERSION = 3
    LEASE_START = 4
    PROCESS_ID = 5


class StorageWord(IntEnum):
    """Word numbers (byte offset / 8) of `storage.page`. The futex is the lower half of its word."""

    APPLIED = 1
    HORIZON = 2
    FUTEX = 3
    MAP_BYTES = 4
    APPLIED_POSITION = 5
    PROCESS_ID = 6
    READERS_MAX = 7


def wake_bit(timestamp: Timestamp) -> int:
    """The bit of the futex under which readers wait for the watermark to reach a timestamp."""
    return 1 << (timestamp & 31)


class SharedPage:
    """A mapped page. Made by `own` (read and write) or `watch` (read only)."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._mapping = mapping
        self._bytes = memoryview(mapping)
        self._words = self._bytes.cast("Q")
        self._fence = threading.Lock()

    @classmethod
    def own(cls, path: Path, magic: bytes, permissions: int = 0o644) -> Self:
        """Open the page for its owner, creating it if it does not exist; words of a former owner are kept."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, permissions)
        try:
            os.fchmod(descriptor, permissions)  # readers run as other users, whatever the umask says
            os.ftruncate(descriptor, PAGE_BYTES)
            page = cls(mmap.mmap(descriptor, PAGE_BYTES))
        finally:
            os.close(descriptor)
        if page._bytes[:WORD_BYTES] != magic:
            page._bytes[WORD_BYTES:] = bytes(PAGE_BYTES - WORD_BYTES)
            page.fence()
            page._bytes[:WORD_BYTES] = magic
        return page

    @classmethod
    def watch(cls, path: Path, magic: bytes) -> Self:
        """Map the page for reading. Raises Unavailable as long as its owner has not made it."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Unavailable(f"{path} does not exist yet") from error
        try:
            if os.fstat(descriptor).st_size < PAGE_BYTES:
                raise Unavailable(f"{path} is not complete yet")
            page = cls(mmap.mmap(descriptor, PAGE_BYTES, prot=mmap.PROT_READ))
        finally:
            os.close(descriptor)
        if page._bytes[:WORD_BYTES] != magic:
            page.close()
            raise Unavailable(f"{path} is not complete yet")
        return page

    def load(self, word: int) -> int:
        return self._words[word]

    def store(self, word: int, value: int) -> None:
        self._words[word] = value

    def fence(self) -> None:
        """Order the stores before it ahead of those after it, also on processors that reorder stores."""
        with self._fence:
            pass

    @property
    def address_space(self) -> memoryview:
        """The raw bytes, for an owner that needs the address of a word (a futex)."""
        return self._bytes

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._mapping.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

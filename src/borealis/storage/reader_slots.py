"""Reads the reader slots of every instance (`instance-<n>.readers`, docs/formats.md, "Shared pages").

The files belong to the instances. What is in them is not trusted: a file that is not complete is skipped until it is,
and a count of slots that does not fit the file is cut to it.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from borealis.foundation.identifiers import Timestamp
from borealis.storage.horizon import ReaderSlot

MAGIC: Final = b"BRLSRDR1"
HEADER_BYTES: Final = 64
SLOT_BYTES: Final = 16
_SLOTS_WORD: Final = 1
_WORDS_PER_SLOT: Final = SLOT_BYTES // 8
_HEADER_WORDS: Final = HEADER_BYTES // 8


class _ReadersFile:
    """One mapped file."""

    def __init__(self, mapping: mmap.mmap, identity: tuple[int, int]) -> None:
        self.identity = identity
        self._mapping = mapping
        self._bytes = memoryview(mapping)
        self._words = self._bytes.cast("Q")
        slots = min(self._words[_SLOTS_WORD], (len(self._bytes) - HEADER_BYTES) // SLOT_BYTES)
        self._end = _HEADER_WORDS + slots * _WORDS_PER_SLOT

    def occupied(self) -> Iterator[tuple[int, int, int]]:
        """(index, read timestamp, process id) of each slot that is not free."""
        words = self._words
        timestamps = words[_HEADER_WORDS : self._end : _WORDS_PER_SLOT].tolist()
        if any(timestamps):
            for index, timestamp in enumerate(timestamps):
                if timestamp:
                    yield index, timestamp, words[_HEADER_WORDS + index * _WORDS_PER_SLOT + 1]

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._mapping.close()


class ReaderSlots:
    """All readers files of a run directory."""

    def __init__(self, run_directory: Path, is_alive: Callable[[int], bool] | None = None) -> None:
        self._run_directory = run_directory
        self._is_alive = is_alive or is_process_alive
        self._files: dict[str, _ReadersFile] = {}

    def occupied(self) -> list[ReaderSlot]:
        """Every slot that is not free, of every instance."""
        self._follow_directory()
        return [
            ReaderSlot(name, index, process_id, Timestamp(timestamp), process_id == 0 or self._is_alive(process_id))
            for name, file in sorted(self._files.items())
            for index, timestamp, process_id in file.occupied()
        ]

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _follow_directory(self) -> None:
        present = set()
        with os.scandir(self._run_directory) as entries:
            for entry in entries:
                if entry.name.startswith("instance-") and entry.name.endswith(".readers"):
                    present.add(entry.name)
                    self._follow_file(entry.name, entry.path)
        for name in sorted(self._files.keys() - present):
            self._files.pop(name).close()

    def _follow_file(self, name: str, path: str) -> None:
        known = self._files.get(name)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return
        identity = (status.st_ino, status.st_size)
        if known is not None and known.identity == identity:
            return
        if known is not None:
            self._files.pop(name).close()
        mapping = _map_file(path)
        if mapping is not None:
            self._files[name] = _ReadersFile(mapping, identity)


def _map_file(path: str) -> mmap.mmap | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size // 8 * 8
        if size < HEADER_BYTES:
            return None
        mapping = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    if mapping[: len(MAGIC)] != MAGIC:
        mapping.close()
        return None
    return mapping


def is_process_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True

"""Reads the reader slots of every instance (`instance-<n>.readers`, docs/formats.md, "Shared pages").

The files belong to the instances. They are read, not mapped: an instance that cuts its file short must not be able to
kill this process. A file that is not complete is left alone until it is; a count of slots that does not fit is cut.
"""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from borealis.foundation.identifiers import Timestamp
from borealis.storage.horizon import ReaderSlot

MAGIC: Final = b"BRLSRDR1"
HEADER_BYTES: Final = 64
SLOT_BYTES: Final = 16
SLOTS_MAX: Final = 65_536
_HEADER: Final = struct.Struct("<8sQ")
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def occupied_slots(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(index, read timestamp, process id) of each slot of a file's contents that is not free."""
    if len(data) < HEADER_BYTES:
        return
    magic, count = _HEADER.unpack_from(data)
    if magic != MAGIC:
        return
    count = min(count, (len(data) - HEADER_BYTES) // SLOT_BYTES)
    words = struct.unpack_from(f"<{2 * count}Q", data, HEADER_BYTES)
    if any(words[::2]):
        for index in range(count):
            if words[2 * index]:
                yield index, words[2 * index], words[2 * index + 1]


class ReaderSlots:
    """All readers files of a run directory."""

    def __init__(self, run_directory: Path, is_alive: Callable[[int], bool] | None = None) -> None:
        self._run_directory = run_directory
        self._is_alive = is_alive or is_process_alive

    def occupied(self) -> list[ReaderSlot]:
        """Every slot that is not free, of every instance. A process id of 0 is one that is still being written."""
        found = []
        with os.scandir(self._run_directory) as entries:
            paths = sorted(entry.path for entry in entries if _is_readers_file(entry.name))
        for path in paths:
            for index, timestamp, process_id in occupied_slots(_read(path)):
                is_alive = process_id == 0 or self._is_alive(process_id)
                found.append(ReaderSlot(path, index, process_id, Timestamp(timestamp), is_alive))
        return found


def _is_readers_file(name: str) -> bool:
    return name.startswith("instance-") and name.endswith(".readers")


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return b""  # the instance is just going away
    try:
        return os.pread(descriptor, HEADER_BYTES + SLOTS_MAX * SLOT_BYTES, 0)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def is_process_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True

"""What the journal asks of a disk, and the local one.

The engine acts only through this interface, so that a simulated disk can lose, tear and reorder whatever has not been
synced, and stop the world between any two calls. Promises of every disk: `sync` returns only when the file's data and
what is needed to read them are durable; a name that was made, changed or removed is durable after `sync_directory`.
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol

from borealis.foundation.errors import Unavailable
from borealis.wire.frames import Octets


class DiskFile(Protocol):
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""
        ...

    def write_at(self, offset: int, data: Octets) -> None: ...

    def allocate(self, size: int) -> None:
        """Make the file at least that long and reserve its space; what is new reads as zero. OSError if no room."""
        ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


class Disk(Protocol):
    def make_directory(self, directory: Path) -> None: ...

    def lock_directory(self, directory: Path) -> None:
        """Own a directory until `release_locks` or the end of the process. Raises Unavailable if another one does."""
        ...

    def release_locks(self) -> None: ...

    def list_names(self, directory: Path) -> list[str]: ...

    def create(self, path: Path) -> DiskFile:
        """A new, empty file, in place of any other of that name."""
        ...

    def open(self, path: Path) -> DiskFile: ...

    def rename(self, source: Path, target: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def sync_directory(self, directory: Path) -> None: ...


class LocalFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]
        while data and (length := length - len(data)):
            offset += len(data)
            data = os.pread(self._descriptor, length, offset)
            pieces.append(data)
        return b"".join(pieces)

    def write_at(self, offset: int, data: Octets) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def allocate(self, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, 0, size)
        elif self.size() < size:  # macOS
            os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        _sync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


# macOS has no fdatasync, and there fsync stops short of the disk's own cache.
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def _sync(descriptor: int) -> None:
    if _FULL_SYNC is not None:
        fcntl.fcntl(descriptor, _FULL_SYNC)
    else:
        os.fdatasync(descriptor)


class LocalDisk:
    def __init__(self) -> None:
        self._locks: list[int] = []

    def make_directory(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)

    def lock_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise Unavailable(f"{directory} is in use by another transaction service") from error
        self._locks.append(descriptor)

    def release_locks(self) -> None:
        for descriptor in self._locks:
            os.close(descriptor)
        self._locks.clear()

    def list_names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory))

    def create(self, path: Path) -> DiskFile:
        return LocalFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))

    def open(self, path: Path) -> DiskFile:
        return LocalFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def remove(self, path: Path) -> None:
        os.remove(path)

    def sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""A virtual disk: what is not synced can be lost, torn or reordered when the machine stops.

Owns the difference between what the operating system's cache shows and what the platter holds. A process that dies
leaves the cache alone; a machine that stops keeps, of everything that was not synced, any subset of the sectors and any
first part of the changes to names. Every call is a point at which the caller may be killed, before, after or, for a
write, in the middle of it.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from borealis.wire.frames import Octets

SECTOR_BYTES: Final = 512
Tick = Callable[[], None]


class _Inode:
    """A file's contents, twice: as the cache shows it, and as the platter has it."""

    def __init__(self) -> None:
        self.cached = bytearray()
        self.durable = bytearray()
        self.dirty: set[int] = set()

    def write(self, offset: int, data: Octets) -> None:
        end = offset + len(data)
        if end > len(self.cached):
            self.cached.extend(bytes(end - len(self.cached)))
        self.cached[offset:end] = data
        self.dirty.update(range(offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)))

    def sync(self) -> None:
        self._make_durable(sorted(self.dirty))
        self.dirty.clear()

    def lose_power(self, random: Random) -> None:
        # A new length is lost with everything behind the old one, or kept.
        if random.random() < 0.5:
            del self.cached[len(self.durable) :]
        survivors = [sector for sector in sorted(self.dirty) if random.random() < 0.5]
        self._make_durable(survivors)
        self.cached = bytearray(self.durable)
        self.dirty.clear()

    def _make_durable(self, sectors: list[int]) -> None:
        grown = len(self.cached) - len(self.durable)
        if grown > 0:
            self.durable.extend(bytes(grown))
        for sector in sectors:
            start = sector * SECTOR_BYTES
            if start < len(self.cached):
                self.durable[start : start + SECTOR_BYTES] = self.cached[start : start + SECTOR_BYTES]


Names = dict[Path, _Inode]


class VirtualFile:
    def __init__(self, disk: "VirtualDisk", inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode

    def size(self) -> int:
        return len(self._inode.cached)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._inode.cached[offset : offset + length])

    def write_at(self, offset: int, data: Octets) -> None:
        self._disk.tick()
        half = len(data) // 2
        self._inode.write(offset, memoryview(data)[:half])
        self._disk.tick()
        self._disk.check_room(self._inode, offset + len(data))
        self._inode.write(offset + half, memoryview(data)[half:])
        self._disk.tick()

    def allocate(self, size: int) -> None:
        self._disk.tick()
        self._disk.check_room(self._inode, size)
        if size > len(self._inode.cached):
            self._inode.write(size, b"")
        self._disk.tick()

    def sync(self) -> None:
        self._disk.tick()
        self._disk.check_sync(self._inode)
        self._inode.sync()
        self._disk.tick()

    def close(self) -> None:
        pass


class VirtualDisk:
    """`tick` is called around every effect and may raise what kills the process. `capacity` counts all files' bytes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._names: Names = {}
        self._durable_names: Names = {}
        # Changes to names since the last sync of their directory, oldest first.
        self._pending: list[Callable[[Names], None]] = []
        self.tick: Tick = lambda: None
        self.capacity: int | None = None
        self.fails_next_sync = False
        self.removed: dict[Path, bytes] = {}
        """Contents of removed files, for those who judge the run."""

    # The interface of a disk

    def make_directory(self, directory: Path) -> None:
        pass

    def lock_directory(self, directory: Path) -> None:
        pass

    def release_locks(self) -> None:
        pass

    def list_names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._names if path.parent == directory)

    def create(self, path: Path) -> VirtualFile:
        self.tick()
        inode = _Inode()
        self._change(lambda names: names.__setitem__(path, inode))
        return VirtualFile(self, inode)

    def open(self, path: Path) -> VirtualFile:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return VirtualFile(self, self._names[path])

    def rename(self, source: Path, target: Path) -> None:
        self.tick()
        inode = self._names[source]

        def change(names: Names) -> None:
            names.pop(source, None)
            names[target] = inode

        self._change(change)
        self.tick()

    def remove(self, path: Path) -> None:
        self.tick()
        self.removed[path] = bytes(self._names[path].cached)
        self._change(lambda names: names.pop(path, None))
        self.tick()

    def sync_directory(self, directory: Path) -> None:  # noqa: ARG002 - the journal of a file system has one order
        self.tick()
        self._sync_names(len(self._pending))
        self.tick()

    def _change(self, change: Callable[[Names], object]) -> None:
        change(self._names)
        self._pending.append(lambda names: (change(names), None)[1])

    def _sync_names(self, count: int) -> None:
        for change in self._pending[:count]:
            change(self._durable_names)
        del self._pending[:count]

    # What goes wrong

    def check_room(self, inode: _Inode, end: int) -> None:
        if self.capacity is not None and end > len(inode.cached):
            used = sum(len(each.cached) for each in self._names.values())
            if used + end - len(inode.cached) > self.capacity:
                raise OSError(errno.ENOSPC, "no space left on device")

    def check_sync(self, inode: _Inode) -> None:
        """A failed sync leaves pages that look clean: the data is in the cache and will never reach the platter."""
        if self.fails_next_sync:
            self.fails_next_sync = False
            inode.dirty.clear()
            raise OSError(errno.EIO, "input/output error")

    def lose_power(self) -> None:
        """The machine stops: only what was synced is certain."""
        self._sync_names(self._random.randint(0, len(self._pending)))
        self._pending.clear()
        self._names = dict(self._durable_names)
        for path in sorted(self._names):
            self._names[path].lose_power(self._random)

    def wipe(self, directory: Path) -> None:
        """A zone's disk is replaced by an empty one."""
        for names in (self._names, self._durable_names):
            for path in [path for path in names if path.parent == directory]:
                del names[path]

    def flip_bit(self, path: Path, offset: int, bit: int) -> None:
        inode = self._names[path]
        inode.cached[offset] ^= 1 << bit
        inode.durable[offset] ^= 1 << bit

    def files(self) -> dict[Path, bytes]:
        return {path: bytes(inode.cached) for path, inode in sorted(self._names.items())}

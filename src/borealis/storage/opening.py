"""Opens the map at the start of the process: keeps it, or rebuilds it from the newest snapshot.

Promises: at most one storage process per data directory; the state file vouches for the map only while that is true.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from borealis.foundation.errors import Unavailable
from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.recovery import (
    MapState,
    Verdict,
    boot_identity,
    discard_map,
    judge,
    map_inode,
    read_state,
    remove_leftovers,
    write_state,
)
from borealis.storage.settings import StorageSettings
from borealis.storage.snapshots import DamagedSnapshot, list_snapshots, restore_snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StorageLayout:
    """Where things are (docs/formats.md, "Data directory")."""

    storage: Path
    run: Path

    @property
    def map(self) -> Path:
        return self.storage / "map"

    @property
    def snapshots(self) -> Path:
        return self.storage / "snapshots"

    @property
    def lock(self) -> Path:
        return self.storage / "lock"

    @property
    def page(self) -> Path:
        return self.run / "storage.page"

    @property
    def transactions_page(self) -> Path:
        return self.run / "transactions.page"

    @property
    def journal_socket(self) -> Path:
        return self.run / "journal.sock"

    def directories(self) -> tuple[Path, ...]:
        return self.storage, self.map, self.snapshots


class OpenedMap:
    """The map with the lock that makes this process its only writer and the state that vouches for it."""

    def __init__(self, layout: StorageLayout, settings: StorageSettings, withdraw: Callable[[], None]) -> None:
        """Calls `withdraw` before it puts other files in the place of the map's.

        Raises Unavailable when another storage process has the lock, DamagedMap, OutOfRoom.
        """
        self._storage = layout.storage
        self._lock = _take_lock(layout.lock)
        boot = boot_identity()
        state = read_state(layout.storage)
        inode = map_inode(layout.map)
        remove_leftovers(layout.snapshots)
        if judge(state, inode, boot) is Verdict.KEEP:
            assert state is not None
            assert inode is not None
            # It stops being clean before LMDB may write to it. What is so already needs no room on a full disk.
            self._state = replace(state, boot=boot, inode=inode, is_clean=False)
            if self._state != state:
                write_state(layout.storage, self._state)
            self.map = LmdbMap(layout.map, settings)
            return
        if inode is not None:
            log.warning("the map may be damaged by a power loss and is rebuilt from its newest snapshot")
        withdraw()
        discard_map(layout.storage, layout.map)
        _restore_newest(layout)
        self.map = LmdbMap(layout.map, settings)
        inode = map_inode(layout.map)
        assert inode is not None
        self._state = MapState(boot, inode, is_clean=False, generation=time.time_ns())
        write_state(layout.storage, self._state)

    @property
    def generation(self) -> int:
        """Changes when the file has been replaced; whoever has the old one open must open again."""
        return self._state.generation

    def close(self, is_clean: bool) -> None:
        self.map.close(is_clean)
        if is_clean:
            write_state(self._storage, replace(self._state, is_clean=True))
        os.close(self._lock)


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Unavailable(f"another storage process is using {path.parent}: stop it first") from error
    return descriptor


def _restore_newest(layout: StorageLayout) -> None:
    """From the newest snapshot that is intact; without one the map begins empty and needs the whole journal."""
    for snapshot in reversed(list_snapshots(layout.snapshots)):
        try:
            restore_snapshot(snapshot, layout.map)
        except DamagedSnapshot as error:
            log.error("%s; trying the one before", error)
            continue
        log.info("restored the snapshot of position %d", snapshot.position)
        return

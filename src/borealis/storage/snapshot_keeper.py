"""Takes a snapshot whenever enough journal has been applied since the last one, on a thread of its own.

The server asks `poll` between batches; the thread only copies, syncs and says when it is done.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from borealis.foundation.errors import BorealisError
from borealis.foundation.identifiers import Position
from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.settings import StorageSettings
from borealis.storage.snapshots import (
    SnapshotAborted,
    SnapshotCopy,
    list_snapshots,
    lower_priority,
    remove_old_snapshots,
    truncation_bound,
)

log = logging.getLogger(__name__)


class SnapshotKeeper:
    """Owns the snapshots directory of a running storage process."""

    def __init__(self, source: LmdbMap, directory: Path, settings: StorageSettings, wake: Callable[[], None]) -> None:
        self._source = source
        self._directory = directory
        self._settings = settings
        self._wake = wake
        self._copy: SnapshotCopy | None = None
        self._thread: threading.Thread | None = None
        snapshots = list_snapshots(directory)
        self._last = snapshots[-1].position if snapshots else Position(0)
        self.bound = truncation_bound(snapshots, settings.snapshots_kept)

    def poll(self, applied: Position) -> bool:
        """Begin a snapshot if one is due; whether `bound` (what the journal may drop) has moved since the last call."""
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread.join()
            self._thread = self._copy = None
            return self._refresh()
        if applied - self._last >= self._settings.snapshot_journal_bytes:
            # Whether it succeeds or not: the next attempt comes after as much journal again.
            self._last = applied
            self._copy = SnapshotCopy(self._source, self._directory)
            self._thread = threading.Thread(target=self._run, args=(self._copy,), name="snapshot", daemon=True)
            self._thread.start()
        return False

    def close(self) -> None:
        """Give up a copy that is under way; the next start begins another one."""
        if self._thread is not None and self._copy is not None:
            self._copy.abort()
            self._thread.join()

    def _run(self, copy: SnapshotCopy) -> None:
        lower_priority()
        try:
            snapshot = copy.run()
            remove_old_snapshots(self._directory, self._settings.snapshots_kept)
            log.info("snapshot of position %d: %d bytes", snapshot.position, snapshot.manifest.bytes)
        except SnapshotAborted:
            pass
        except (OSError, BorealisError) as error:
            log.error("a snapshot failed, the journal is kept for longer: %s", error)
        finally:
            self._wake()

    def _refresh(self) -> bool:
        bound = truncation_bound(list_snapshots(self._directory), self._settings.snapshots_kept)
        has_moved = bound != self.bound
        self.bound = bound
        return has_moved

"""Durable copies of the map, named by the journal position up to which they hold everything.

A snapshot is a directory `<position, 16 hex digits>/` with the compact copy `data.mdb` and `manifest.json`, which is
written last and says how long the copy must be and what its checksum is. Promises: a snapshot that is listed was on the
disk completely before its manifest was; restoring refuses a copy that does not match its manifest.

The journal may be truncated only behind the oldest snapshot that is kept: should the newest turn out damaged, the one
before it still leads somewhere.
"""

import hashlib
import json
import os
import select
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from borealis.foundation.errors import BorealisError, Unavailable
from borealis.foundation.identifiers import Position
from borealis.storage.apply import META_KEYS, decode_progress
from borealis.storage.durable_files import replace_file, sync_directory
from borealis.storage.lmdb_map import DATA_FILE, LmdbMap
from borealis.storage.ordered_map import Table

MANIFEST_FILE: Final = "manifest.json"
FORMAT: Final = 1
SNAPSHOT_NICENESS: Final = 10
PARTIAL_SUFFIX: Final = ".partial"
_PIECE_BYTES: Final = 1 << 20
_PAGE_BYTES: Final = 4_096
_SYNC_BYTES: Final = 8 << 20


class DamagedSnapshot(Unavailable):
    """A snapshot is not what its manifest says."""


class SnapshotAborted(Unavailable):
    """A snapshot was given up on request."""


@dataclass(frozen=True, slots=True)
class Manifest:
    format: int
    position: Position
    timestamp: int
    catalog_version: int
    schema_version: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    directory: Path
    manifest: Manifest

    @property
    def position(self) -> Position:
        return self.manifest.position


def list_snapshots(snapshots_directory: Path) -> list[Snapshot]:
    """Complete snapshots, oldest first. Their contents have not been verified."""
    found = [_read_snapshot(directory) for directory in sorted(snapshots_directory.glob("*")) if directory.is_dir()]
    return sorted((snapshot for snapshot in found if snapshot is not None), key=lambda snapshot: snapshot.position)


def truncation_bound(snapshots: Sequence[Snapshot], kept: int) -> Position | None:
    """The position before which no snapshot needs the journal; None as long as there are fewer than are kept."""
    return snapshots[-kept].position if len(snapshots) >= kept else None


class SnapshotCopy:
    """Copies the map as it is when the object is made. `run` works on one thread, `abort` may come from another.

    LMDB holds a read transaction until the copy is done, so pages that the writer frees are not used again meanwhile.
    It writes into a pipe: from there the copy is hashed and brought to the disk in small portions, since one large sync
    at the end would hold up the journal's small ones on the same disk.
    """

    def __init__(self, source: LmdbMap, snapshots_directory: Path) -> None:
        """To be made on the thread that writes: a transaction that begins beside commits may see a torn root."""
        self._snapshots_directory = snapshots_directory
        self._is_aborted = False
        self._receiver, sender = os.pipe()
        self._copier = _Copier(source, sender)
        self._copier.start()
        # From its first byte on the copier knows which state it copies; nothing is committed before.
        beginning = select.poll()
        beginning.register(self._receiver, select.POLLIN)
        beginning.poll()
        with source.read() as reader:
            self._progress = decode_progress(reader.get(Table.META, key) for key in META_KEYS)

    def abort(self) -> None:
        """Make `run` stop soon, with SnapshotAborted."""
        self._is_aborted = True

    def run(self) -> Snapshot:
        """Returns when the snapshot is durable. Raises SnapshotAborted, OSError."""
        progress = self._progress
        directory = self._snapshots_directory / f"{progress.position:016x}"
        partial = directory.with_name(directory.name + PARTIAL_SUFFIX)
        length, checksum = self._copy(partial)
        manifest = Manifest(
            FORMAT,
            progress.position,
            progress.timestamp,
            progress.catalog_version,
            progress.schema_version,
            length,
            checksum,
        )
        replace_file(partial / MANIFEST_FILE, json.dumps(asdict(manifest), indent=2).encode() + b"\n")
        shutil.rmtree(directory, ignore_errors=True)  # one of the same position that was never completed
        partial.rename(directory)
        sync_directory(directory.parent)
        return Snapshot(directory, manifest)

    def _copy(self, partial: Path) -> tuple[int, str]:
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            with (partial / DATA_FILE).open("xb", buffering=0) as file:
                length, checksum = self._drain(self._receiver, file)
        finally:
            os.close(self._receiver)  # an unfinished copier gets EPIPE
            self._copier.join()
        if self._copier.error is not None:
            raise self._copier.error
        return length, checksum

    def _drain(self, receiver: int, file: FileIO) -> tuple[int, str]:
        digest = hashlib.sha256()
        length = unsynced = 0
        while piece := os.read(receiver, _PIECE_BYTES):
            if self._is_aborted:
                raise SnapshotAborted("the process is stopping")
            digest.update(piece)
            file.write(piece)
            length += len(piece)
            unsynced += len(piece)
            if unsynced >= _SYNC_BYTES:
                os.fdatasync(file.fileno())
                unsynced = 0
        os.fsync(file.fileno())
        return length, digest.hexdigest()


class _Copier(threading.Thread):
    """LMDB's side of the pipe. Keeps its priority, since the writer waits for its beginning; the pipe slows it down."""

    def __init__(self, source: LmdbMap, sender: int) -> None:
        super().__init__(name="snapshot-copy", daemon=True)
        self._source = source
        self._sender = sender
        self.error: BorealisError | None = None

    def run(self) -> None:
        try:
            self._source.copy(self._sender)
        except BorealisError as error:
            self.error = error
        finally:
            os.close(self._sender)


def lower_priority() -> None:
    """Let this thread go behind those who wait for a commit; where only processes have priorities, do nothing."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SNAPSHOT_NICENESS)


def remove_old_snapshots(snapshots_directory: Path, kept: int) -> None:
    for snapshot in list_snapshots(snapshots_directory)[:-kept]:
        # Manifest first: half a removal must not look like a snapshot.
        (snapshot.directory / MANIFEST_FILE).unlink()
        shutil.rmtree(snapshot.directory)
    sync_directory(snapshots_directory)


def restore_snapshot(snapshot: Snapshot, map_directory: Path) -> None:
    """Make the snapshot the map. Raises DamagedSnapshot, leaving no map behind.

    Written page by page, as the map will be: in large folios every page would be dear to write over
    (storage_library/lmdb/pages.c).
    """
    map_directory.mkdir(parents=True, exist_ok=True)
    target = map_directory / DATA_FILE
    partial = target.with_name(DATA_FILE + PARTIAL_SUFFIX)
    digest = hashlib.sha256()
    length = 0
    with (snapshot.directory / DATA_FILE).open("rb") as source, partial.open("wb", buffering=_PAGE_BYTES) as copy:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            for start in range(0, len(piece), _PAGE_BYTES):
                copy.write(piece[start : start + _PAGE_BYTES])
            length += len(piece)
    if length != snapshot.manifest.bytes or digest.hexdigest() != snapshot.manifest.sha256:
        os.unlink(partial)
        raise DamagedSnapshot(f"snapshot {snapshot.directory} does not match its manifest")
    partial.rename(target)


def _read_snapshot(directory: Path) -> Snapshot | None:
    if directory.name.endswith(PARTIAL_SUFFIX):
        return None
    try:
        manifest = Manifest(**json.loads((directory / MANIFEST_FILE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return Snapshot(directory, manifest) if manifest.format == FORMAT else None

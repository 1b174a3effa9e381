"""The storage of a world in the C library: a real LMDB map, and batches applied as the storage process applies them.

The world stays the same, and so do its judges; in the place of the map in memory and of the logic in Python stand those
that production has (storage_library/). A process that dies leaves the map as it is; the machine's end leaves only what
a snapshot held.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from ctypes import c_void_p
from dataclasses import replace
from pathlib import Path

from borealis.foundation.identifiers import Timestamp
from borealis.storage.collector import Collected
from borealis.storage.follower import Event, Follower
from borealis.storage.library import library
from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.ordered_map import Table
from borealis.storage.replica import Replica
from borealis.storage.settings import MEBIBYTE
from borealis.wire.frames import Octets, encode_frame
from borealis.wire.journal_messages import JournalFrame
from simulation.storage_process import SETTINGS, StorageProcess, StoredMap, Tables
from simulation.world import Parts

_SHARED_MEMORY = Path("/dev/shm")
_SMALL = replace(SETTINGS, map_bytes_max=64 * MEBIBYTE)


class TemporaryMap(LmdbMap):
    """A map in a folder of its own, gone with the object."""

    def __init__(self, tables: Tables | None = None) -> None:
        parent = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
        directory = tempfile.mkdtemp(prefix="borealis-simulation-", dir=parent)
        super().__init__(Path(directory), _SMALL)
        weakref.finalize(self, _remove, self.handle, directory)
        with self.write() as writer:
            for table, entries in (tables or {}).items():
                writer.put(table, sorted(entries.items()))

    @property
    def tables(self) -> Tables:
        """What is committed."""
        with self.read() as reader:
            return {table: dict(reader.scan(table, b"")) for table in Table}


def _remove(handle: c_void_p, directory: str) -> None:
    library.storage_map_close(handle)
    shutil.rmtree(directory)


class FollowedReplica(Replica):
    """With a follower that applies what is plain, and takes along what nobody needs at the last horizon."""

    def __init__(self, ordered_map: TemporaryMap) -> None:
        self.follower = Follower(ordered_map, None, SETTINGS)
        weakref.finalize(self, self.follower.close)
        super().__init__(ordered_map, SETTINGS, queue=self.follower.queue)

    def collect(self, horizon: Timestamp, limit: int) -> Collected:
        self.follower.state.collect_up_to = horizon
        return super().collect(horizon, limit)

    def bring(self, batches: Sequence[Octets]) -> Iterator[None]:
        follower = self.follower
        follower.moved(self.progress, self.collected_horizon)
        event = follower.feed(b"".join(encode_frame(JournalFrame.BATCH, 0, batch) for batch in batches))
        while event is Event.FRAME:
            self.catch_up(follower.progress, Timestamp(follower.state.collected_horizon))
            frame = follower.next_frame()
            assert frame is not None
            plan = self.plan([frame.payload])
            if plan.after != plan.before:
                yield from self.write(plan)
            follower.moved(self.progress, self.collected_horizon)
            event = follower.feed(b"")
        assert event is None
        self.catch_up(follower.progress, Timestamp(follower.state.collected_horizon))
        yield


class LibraryStorage(StorageProcess):
    @staticmethod
    def _make_map(tables: Tables | None) -> StoredMap:
        return TemporaryMap(tables)

    @staticmethod
    def _bring(replica: Replica, batches: Sequence[Octets]) -> Iterator[None]:
        assert isinstance(replica, FollowedReplica)
        return replica.bring(batches)


PARTS = Parts(make_replica=FollowedReplica, storage_process=LibraryStorage)

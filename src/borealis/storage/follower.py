"""The part of storage that works for each commit, which is in C (storage_library/follower.c), as Python's side sees it.

It follows the journal, brings plain batches into the map, publishes them, reports them and collects what they wrote
over. What is not plain comes out of `next_frame`, in its turn, for `Replica` to apply; both work on the same map, never
at the same time, and tell each other how far it is.
"""

from array import array
from collections.abc import Iterable
from ctypes import byref, c_size_t, c_uint8, c_uint32, c_void_p, string_at
from enum import IntEnum
from typing import Final

from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import CatalogVersion, Position, Relfilenode, SchemaVersion, Timestamp
from borealis.storage.apply import Progress
from borealis.storage.collector import Collected
from borealis.storage.library import FollowerState, library
from borealis.storage.lmdb_map import LmdbMap, translate
from borealis.storage.ordered_map import OrderedMap
from borealis.storage.settings import StorageSettings
from borealis.wire.frames import Frame

_UNPUBLISHED_MAX: Final = 1024
_NOTHING: Final = -1


class Event(IntEnum):
    """Why `follow` returned."""

    DUE = 0
    IDLE_DUE = 1
    WAKE = 2
    FRAME = 3
    LOST = 4
    BROKEN = 5
    COLLECTING_FAILED = 6


_BROKEN_RULES: Final = {
    2: "the reserved bytes of a frame header are not zero",
    3: "a frame has a type that is not known here",
    4: "a payload is over its limit",
}


class Follower:
    """One map, followed. Used by one thread."""

    def __init__(self, environment: LmdbMap, page: int | None, settings: StorageSettings) -> None:
        """`page`: address of the page's words, which must stay mapped; without one nothing is published."""
        self._handle = c_void_p(
            library.storage_follower_open(
                *(environment.handle, page, settings.collect_queue_max, settings.collect_busy_overwrites),
                *(settings.collect_keys_max, settings.frame_bytes_max),
            )
        )
        if not self._handle:
            raise MemoryError
        self.state: FollowerState = library.storage_follower_state(self._handle).contents
        state = self.state
        state.giant_bytes = settings.giant_bytes
        state.plan_writes_max = min(settings.plan_writes_max, settings.chunk_writes_max)
        state.report_delay_ns = settings.report_delay_ns
        state.report_bytes = settings.report_bytes
        state.collect_keys_min = settings.collect_keys_min
        state.collect_delay_ns = settings.collect_delay_ns
        self.queue = FollowerQueue(self._handle, state)

    @property
    def progress(self) -> Progress:
        state = self.state
        return Progress(
            Position(state.position),
            Timestamp(state.timestamp),
            CatalogVersion(state.catalog_version),
            SchemaVersion(state.schema_version),
        )

    def moved(self, progress: Progress, collected_horizon: Timestamp) -> None:
        """Somebody else has brought the map there."""
        state = self.state
        state.position, state.timestamp, state.catalog_version, state.schema_version = progress
        state.collected_horizon = collected_horizon

    def wrote(self, writes: int) -> None:
        """Somebody else has written so many versions."""
        self.state.uncollected_writes += writes

    # The journal.

    def connect(self, descriptor: int) -> None:
        library.storage_connect(self._handle, descriptor)

    def disconnect(self) -> None:
        library.storage_disconnect(self._handle)

    def send(self, data: bytes) -> int:
        """0, or the error number of a connection that is lost."""
        return int(library.storage_send(self._handle, data, len(data)))

    def report(self) -> int:
        """Say how far the map is, now; as `send`."""
        return int(library.storage_report(self._handle))

    def note_applied(self) -> int:
        """Say how far the map is, soon; as `send`."""
        return int(library.storage_note_applied(self._handle))

    def follow(self, wake_descriptor: int, listens: bool, due_ns: int, idle_due_ns: int) -> Event:
        """Follow the journal until there is something else to do. Times are monotonic."""
        return Event(library.storage_follow(self._handle, wake_descriptor, listens, due_ns, idle_due_ns))

    def feed(self, data: bytes) -> Event | None:
        """Take in frames as if they had arrived; for who has no socket."""
        event = library.storage_feed(self._handle, data, len(data))
        return None if event == _NOTHING else Event(event)

    def next_frame(self) -> Frame | None:
        """After Event.FRAME: the frame that comes next and is not plain. It must be dealt with before going on."""
        frame_type, payload, size = c_uint8(), c_void_p(), c_size_t()
        if not library.storage_next_frame(self._handle, byref(frame_type), byref(payload), byref(size)):
            return None
        frame = Frame(frame_type.value, 0, string_at(payload.value or 0, size.value))
        library.storage_drop_frame(self._handle)
        return frame

    def broken_rule(self) -> InvariantViolation:
        """After Event.BROKEN."""
        return InvariantViolation(
            f"the transaction service broke the journal protocol: {_BROKEN_RULES[self.state.error]}"
        )

    # What is left to others.

    def take_unpublished(self) -> list[Relfilenode]:
        """Relations whose published size is behind; each is told once for each time."""
        found: list[Relfilenode] = []
        room = (c_uint32 * _UNPUBLISHED_MAX)()
        while count := library.storage_take_unpublished(self._handle, room, _UNPUBLISHED_MAX):
            found += map(Relfilenode, room[:count])
        return found

    def close(self) -> None:
        library.storage_follower_close(self._handle)


class FollowerQueue:
    """The follower's queue of keys, behind the interface of `CollectionQueue`."""

    def __init__(self, handle: c_void_p, state: FollowerState) -> None:
        self._handle = handle
        self._state = state

    def __len__(self) -> int:
        return int(library.storage_queue_length(self._handle))

    @property
    def is_incomplete(self) -> bool:
        return bool(library.storage_queue_is_incomplete(self._handle))

    @is_incomplete.setter
    def is_incomplete(self, value: bool) -> None:
        library.storage_queue_set_incomplete(self._handle, value)

    def add(self, covered: Iterable[tuple[Timestamp, bytes]]) -> None:
        added = list(covered)
        timestamps = array("Q", [timestamp for timestamp, _ in added])
        sizes = array("I", [len(key) for _, key in added])
        blob = b"".join([key for _, key in added])
        library.storage_queue_add(self._handle, timestamps.buffer_info()[0], blob, sizes.buffer_info()[0], len(added))

    def is_ready(self, settled: Timestamp) -> bool:
        return bool(library.storage_queue_is_ready(self._handle, settled))

    def collect(self, ordered_map: OrderedMap, horizon: Timestamp, settled: Timestamp, limit: int) -> Collected:
        """One slice, of the map that is followed. Raises OutOfRoom."""
        del ordered_map
        before, self._state.collect_up_to = self._state.collect_up_to, horizon
        try:
            status = library.storage_collect(self._handle, settled, limit)
        finally:
            self._state.collect_up_to = before
        if status:
            raise translate(status)
        return Collected(examined=limit)

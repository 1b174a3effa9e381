"""Collects versions that nobody can need any more, in bounded slices.

Three sources of work: keys that were overwritten or deleted (a queue in memory, filled by apply), relations that were
dropped (a table of the map, so that a restart does not forget them) and a sweep over the whole map (after a restart, or
when the queue overflowed). Acts only on the ordered map that it is given, and what it does depends on nothing but its
arguments, so a simulation drives the same code. A slice is one write transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop
from typing import Final, Protocol

from borealis.foundation.identifiers import U64_MAX, Relfilenode, Timestamp
from borealis.storage.ordered_map import OrderedMap, Table
from borealis.storage.statistics import sum_key
from borealis.storage.stored_key import relation_prefixes

# A slice deletes at most so many versions for each key that it may look at; what is left of a key waits its turn.
DELETES_PER_KEY: Final = 4
_NEVER: Final = Timestamp(U64_MAX)


@dataclass(slots=True)
class Collected:
    """What one slice did."""

    deleted: int = 0
    examined: int = 0
    is_idle: bool = False


class KeyQueue(Protocol):
    """Keys that have garbage once the horizon passes a timestamp; each once, bounded.

    They are handed out in passes over all of them in their order, so that neighbours share pages. Those that are
    written over all the time come first, whatever the pass.
    """

    is_incomplete: bool
    """Garbage may exist that is not in the queue: a sweep has to find it."""

    def __len__(self) -> int: ...

    def add(self, covered: Iterable[tuple[Timestamp, bytes]]) -> None:
        """These keys were written over at these timestamps, which do not fall."""
        ...

    def is_ready(self, settled: Timestamp) -> bool:
        """Whether a pass is under way, or one can begin with keys that were first written over at or below this."""
        ...

    def collect(self, ordered_map: OrderedMap, horizon: Timestamp, settled: Timestamp, limit: int) -> Collected:
        """Clear up to `limit` keys with garbage at the horizon, in one write transaction.

        A pass may begin with keys that were first written over at or below `settled`. Raises OutOfRoom, with nothing
        lost.
        """
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """When a key was written over since it was clean, the first time and the last, and how often."""

    first: Timestamp
    last: Timestamp
    overwrites: int = 0


class CollectionQueue:
    """The queue in Python. The storage process has one in C beside what fills it (follower.py), which does the same."""

    def __init__(self, keys_max: int, busy_overwrites: int) -> None:
        """Who is written over so often, before it is clean again, is busy."""
        self._keys_max = keys_max
        self._busy_overwrites = busy_overwrites
        self._waiting: dict[bytes, _Waiting] = {}
        self._oldest = _NEVER
        """No key outside of the pass was first written over before."""
        self._busy: dict[bytes, None] = {}
        self._pass: list[tuple[bytes, _Waiting]] = []
        """A heap."""
        self._unfinished: list[bytes] = []
        self.is_incomplete = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unfinished)

    def add(self, covered: Iterable[tuple[Timestamp, bytes]]) -> None:
        for timestamp, key in covered:
            waiting = self._waiting.get(key)
            if waiting is None:
                if len(self._waiting) >= self._keys_max:
                    self.is_incomplete = True
                    continue
                waiting = self._waiting[key] = _Waiting(timestamp, timestamp)
                self._oldest = min(self._oldest, timestamp)
            waiting.last = timestamp
            waiting.overwrites += 1
            if waiting.overwrites >= self._busy_overwrites:
                self._busy.setdefault(key)

    def put_back(self, keys: Iterable[bytes]) -> None:
        """These keys were taken and are not done; they come first."""
        self._unfinished.extend(keys)

    def is_ready(self, settled: Timestamp) -> bool:
        is_under_way = any(self._waiting.get(key) is waiting for key, waiting in self._pass)
        return bool(self._unfinished) or is_under_way or self._oldest <= settled

    def take(self, horizon: Timestamp, settled: Timestamp, limit: int) -> list[bytes]:
        """Up to `limit` keys with garbage at the horizon, in key order.

        A pass begins with the keys that were first written over at or below `settled`. A key that was written again
        above the horizon stays queued.
        """
        taken, self._unfinished = self._unfinished[:limit], self._unfinished[limit:]
        while len(taken) < limit and self._busy:
            key = next(iter(self._busy))
            if self._waiting[key].first > horizon:
                break
            taken.append(key)
            self._note_clean(key, horizon)
        while len(taken) < limit and (self._pass or self._begin_pass(settled)):
            key, waiting = heappop(self._pass)
            if self._waiting.get(key) is not waiting:
                continue  # it was busy
            if waiting.first > horizon:
                self._oldest = min(self._oldest, waiting.first)
                continue
            taken.append(key)
            self._note_clean(key, horizon)
        return sorted(set(taken))

    def _begin_pass(self, settled: Timestamp) -> bool:
        if self._oldest > settled:
            return False
        self._pass = [item for item in self._waiting.items() if item[1].first <= settled]
        heapify(self._pass)
        self._oldest = min((each.first for each in self._waiting.values() if each.first > settled), default=_NEVER)
        return bool(self._pass)

    def _note_clean(self, key: bytes, horizon: Timestamp) -> None:
        waiting = self._waiting[key]
        if waiting.last <= horizon:
            del self._waiting[key]
        else:
            waiting.first, waiting.overwrites = waiting.last, 0
            self._oldest = min(self._oldest, waiting.first)
        self._busy.pop(key, None)

    def collect(self, ordered_map: OrderedMap, horizon: Timestamp, settled: Timestamp, limit: int) -> Collected:
        keys = self.take(horizon, settled, limit)
        if not keys:
            return Collected()
        left = keys
        try:
            with ordered_map.write() as writer:
                deleted, not_done = writer.clear_keys(keys, horizon, DELETES_PER_KEY * limit)
            left = not_done
        finally:
            self.put_back(left)
        return Collected(deleted=deleted, examined=len(keys))


class Collector:
    """Owns the queue, the dropped relations and the state of the sweep over one map."""

    def __init__(self, ordered_map: OrderedMap, queue: KeyQueue, sweep_entries: int) -> None:
        self._map = ordered_map
        self._sweep_entries = sweep_entries
        self.queue = queue
        self._drops: dict[Relfilenode, Timestamp] = {}
        self._sweep_from: bytes | None = b""
        with ordered_map.read() as reader:
            for key, value in reader.scan(Table.DROPS, b""):
                self._drops[Relfilenode(int.from_bytes(key, "big"))] = Timestamp(int.from_bytes(value, "little"))

    def add_drops(self, dropped_at: Timestamp, relfilenodes: Iterable[Relfilenode]) -> None:
        """Apply has recorded these drops in the map."""
        for relfilenode in relfilenodes:
            self._drops[relfilenode] = dropped_at

    @property
    def dropped(self) -> Iterable[Relfilenode]:
        """Relations that are still to be emptied."""
        return self._drops.keys()

    @property
    def is_busy(self) -> bool:
        """Something is queued, dropped or being swept, ready or not."""
        return bool(len(self.queue) or self._drops or self.needs_sweep)

    @property
    def needs_sweep(self) -> bool:
        """A sweep is under way, or one is to begin now that the queue is empty."""
        return self._sweep_from is not None or (self.queue.is_incomplete and len(self.queue) == 0)

    def has_keys(self, horizon: Timestamp) -> bool:
        """Whether queued keys are ready."""
        return self.queue.is_ready(horizon)

    def has_background_work(self, horizon: Timestamp) -> bool:
        """Dropped relations or a sweep: nobody waits for them, and they may be large."""
        return bool(horizon) and (self._has_ready_drop(horizon) or self.needs_sweep)

    def _has_ready_drop(self, horizon: Timestamp) -> bool:
        return bool(self._drops) and min(self._drops.values()) <= horizon

    def collect(self, horizon: Timestamp, limit: int) -> Collected:
        """One slice of the queue or, when that has nothing ready, of the dropped relations. Raises OutOfRoom."""
        if self.queue.is_ready(horizon):
            return self.queue.collect(self._map, horizon, horizon, limit)
        return self.collect_dropped(horizon, limit)

    def collect_dropped(self, horizon: Timestamp, limit: int) -> Collected:
        """One slice of the dropped relations. Raises OutOfRoom."""
        for relfilenode, dropped_at in self._drops.items():
            if dropped_at <= horizon:
                return self._collect_drop(relfilenode, dropped_at, limit)
        return Collected(is_idle=True)

    def sweep(self, horizon: Timestamp) -> Collected:
        """One slice of the sweep, if one is under way."""
        if not self.needs_sweep:
            return Collected(is_idle=True)
        if self._sweep_from is None:
            self.queue.is_incomplete = False
            self._sweep_from = b""
        deleted, self._sweep_from = self._map.sweep(self._sweep_from, horizon, self._sweep_entries)
        return Collected(deleted=deleted)

    def _collect_drop(self, relfilenode: Relfilenode, dropped_at: Timestamp, limit: int) -> Collected:
        deletes_max = DELETES_PER_KEY * limit
        done = Collected()
        is_all = True
        with self._map.write() as writer:
            for prefix in relation_prefixes(relfilenode):
                deleted, is_all = writer.clear_relation(prefix, dropped_at, deletes_max - done.deleted)
                done.deleted += deleted
                if not is_all:
                    break
            if is_all:
                writer.delete(Table.DROPS, [relfilenode.to_bytes(4, "big")])
                writer.delete(Table.META, [sum_key(relfilenode)])
        if is_all:
            del self._drops[relfilenode]
        return done

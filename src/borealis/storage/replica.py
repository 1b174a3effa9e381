"""The storage replica: what it holds, how it moves forward, how it stays small. Acts only on an ordered map.

Everything between the journal and the map is here, and nothing that waits, listens or looks at a clock, so the server
and the simulation drive the same code. Promises: after any crash the map holds exactly the batches before
`progress.position` (plus versions above the watermark, which the journal will bring again).
"""

from collections.abc import Iterable, Iterator

from borealis.foundation.identifiers import NO_TIMESTAMP, Relfilenode, Timestamp
from borealis.storage.apply import (
    META_KEYS,
    ApplyPlan,
    Chunk,
    Progress,
    cut_chunks,
    decode_progress,
    iterate_giant,
    progress_entries,
)
from borealis.storage.collector import Collected, CollectionQueue, Collector, KeyQueue
from borealis.storage.ordered_map import Entry, MapWriter, OrderedMap, Table
from borealis.storage.settings import StorageSettings
from borealis.storage.statistics import RelationStatistics
from borealis.storage.stored_key import key_of, timestamp_of
from borealis.wire.frames import Octets

HORIZON_KEY = b"horizon"


class Replica:
    """One cluster's map and its place in the journal."""

    def __init__(
        self,
        ordered_map: OrderedMap,
        settings: StorageSettings,
        publishes_all_sizes: bool = True,
        queue: KeyQueue | None = None,
    ) -> None:
        """Without `publishes_all_sizes` small changes of relation sizes wait for `publish_sizes`.

        `queue` is that of somebody else who writes into the same map, never at the same time.
        """
        self._map = ordered_map
        self._settings = settings
        with ordered_map.read() as reader:
            self._statistics = RelationStatistics(reader, publishes_all_sizes)
            self.progress = decode_progress(reader.get(Table.META, key) for key in META_KEYS)
            horizon = reader.get(Table.META, HORIZON_KEY)
        self.collected_horizon = NO_TIMESTAMP if horizon is None else Timestamp(int.from_bytes(horizon, "little"))
        if queue is None:
            queue = CollectionQueue(settings.collect_queue_max, settings.collect_busy_overwrites)
        self.collector = Collector(ordered_map, queue, settings.sweep_entries)
        self._statistics.forget(self.collector.dropped)

    def catch_up(self, progress: Progress, collected_horizon: Timestamp) -> None:
        """Somebody else has brought the map there."""
        self.progress = progress
        self.collected_horizon = collected_horizon

    def plan(self, payloads: Iterable[Octets] = ()) -> ApplyPlan:
        """A plan that follows on from what is applied, holding these batches."""
        plan = ApplyPlan.start(self.progress, self._settings.giant_bytes)
        for payload in payloads:
            plan.add(payload)
        return plan

    def write(self, plan: ApplyPlan) -> Iterator[None]:
        """Write a plan; each step is one committed transaction, and the last one moves `progress`.

        Raises OutOfRoom; the plan can then be written again from its beginning.
        """
        writes_max, bytes_max = self._settings.chunk_writes_max, self._settings.chunk_bytes_max
        *chunks, last = cut_chunks(plan.versions, writes_max, bytes_max, plan.octets)
        found: list[tuple[Timestamp, bytes]] = []
        for chunk in chunks:
            found += self._write_chunk(chunk)
            yield
        for giant in plan.giants:
            for chunk, covered in iterate_giant(giant, writes_max, bytes_max):
                # Queued early they only wait: the horizon cannot pass what is not applied.
                self.collector.queue.add(covered)
                self.collector.queue.add(self._write_chunk(chunk))
                yield
        self._write_last(plan, last, found)
        yield

    def _write_chunk(self, chunk: Chunk) -> list[tuple[Timestamp, bytes]]:
        with self._map.write() as writer:
            return _put_chunk(writer, chunk)

    def _write_last(self, plan: ApplyPlan, chunk: Chunk, found: list[tuple[Timestamp, bytes]]) -> None:
        after = plan.after
        with self._map.write() as writer:
            found += _put_chunk(writer, chunk)
            change = self._statistics.change(writer, plan.deltas) if plan.deltas else None
            if change is not None:
                writer.put(Table.META, change.meta_entries())
                writer.put(Table.VERSIONS, change.version_entries())
            if plan.drops:
                writer.put(Table.DROPS, _drop_entries(plan))
            writer.put(Table.META, progress_entries(plan.before, after))
        # Committed: only now may memory follow.
        self.progress = after
        if change is not None:
            self._statistics.accept(change)
        covered = plan.versions.covered
        self.collector.queue.add(sorted(covered + found) if found else covered)
        if plan.giants and plan.writes:
            # Covering is seen by the version that is written later, and giants are not written in their turn.
            self.collector.queue.is_incomplete = True
        for timestamp, relfilenode in plan.drops:
            self._statistics.forget([relfilenode])
            self.collector.add_drops(timestamp, [relfilenode])

    def publish_sizes(self, changed: Iterable[Relfilenode] = ()) -> None:
        """Bring the published sizes up to date, also of relations that somebody else has changed. Raises OutOfRoom."""
        self._statistics.note_unpublished(changed)
        if self._statistics.has_unpublished:
            with self._map.write() as writer:
                change = self._statistics.publish(writer)
                writer.put(Table.VERSIONS, change.version_entries())
            self._statistics.accept(change)

    def collect(self, horizon: Timestamp, limit: int) -> Collected:
        """One slice of collection up to a confirmed horizon. Raises OutOfRoom."""
        self._remember_horizon(horizon)
        return self.collector.collect(horizon, limit)

    def collect_dropped(self, horizon: Timestamp, limit: int) -> Collected:
        """One slice of the dropped relations. Raises OutOfRoom."""
        self._remember_horizon(horizon)
        return self.collector.collect_dropped(horizon, limit)

    def sweep(self, horizon: Timestamp) -> Collected:
        """One slice of the sweep over the whole map. Raises OutOfRoom."""
        self._remember_horizon(horizon)
        return self.collector.sweep(horizon)

    def _remember_horizon(self, horizon: Timestamp) -> None:
        """Persist it before the first version goes under it, so that a restart does not admit a reader below it."""
        if horizon > self.collected_horizon:
            with self._map.write() as writer:
                writer.put(Table.META, [(HORIZON_KEY, horizon.to_bytes(8, "little"))])
            self.collected_horizon = horizon


def _put_chunk(writer: MapWriter, chunk: Chunk) -> list[tuple[Timestamp, bytes]]:
    """Keys that are written over though their operation did not say so, with the timestamps of what is over them."""
    if chunk.puts:
        writer.put(Table.VERSIONS, chunk.puts)
    if not chunk.puts_that_may_cover:
        return []
    return [(timestamp_of(stored), key_of(stored)) for stored in writer.put_versions_over(chunk.puts_that_may_cover)]


def _drop_entries(plan: ApplyPlan) -> list[Entry]:
    return [(relfilenode.to_bytes(4, "big"), timestamp.to_bytes(8, "little")) for timestamp, relfilenode in plan.drops]

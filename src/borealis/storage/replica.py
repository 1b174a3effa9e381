"""The storage replica: what it holds, how it moves forward, how it stays small. Acts only on an ordered map.

Everything between the journal and the map is here, and nothing that waits, listens or looks at a clock, so the server
and the simulation drive the same code. Promises: after any crash the map holds exactly the batches before
`progress.position` (plus versions above the watermark, which the journal will bring again).
"""

from collections.abc import Iterable, Iterator

from borealis.foundation.identifiers import NO_TIMESTAMP, Timestamp
from borealis.storage.apply import META_KEYS, ApplyPlan, Chunk, cut_chunks, decode_progress, progress_entries
from borealis.storage.collector import Collected, Collector
from borealis.storage.ordered_map import Entry, MapWriter, OrderedMap, Table
from borealis.storage.settings import StorageSettings
from borealis.storage.statistics import RelationStatistics
from borealis.storage.stored_key import key_of, timestamp_of
from borealis.wire.frames import Octets

HORIZON_KEY = b"horizon"


class Replica:
    """One cluster's map and its place in the journal."""

    def __init__(self, ordered_map: OrderedMap, settings: StorageSettings) -> None:
        self._map = ordered_map
        self._settings = settings
        self._statistics = RelationStatistics()
        with ordered_map.read() as reader:
            self.progress = decode_progress(reader.get(Table.META, key) for key in META_KEYS)
            horizon = reader.get(Table.META, HORIZON_KEY)
        self.collected_horizon = NO_TIMESTAMP if horizon is None else Timestamp(int.from_bytes(horizon, "little"))
        self.collector = Collector(ordered_map, settings.collect_queue_max, settings.sweep_entries)

    def plan(self, payloads: Iterable[Octets] = ()) -> ApplyPlan:
        """A plan that follows on from what is applied, holding these batches."""
        plan = ApplyPlan.start(self.progress)
        for payload in payloads:
            plan.add(payload)
        return plan

    def write(self, plan: ApplyPlan) -> Iterator[None]:
        """Write a plan; each step is one committed transaction, and the last one moves `progress`.

        Raises OutOfRoom; the plan can then be written again from its beginning.
        """
        chunks = cut_chunks(plan, self._settings.chunk_writes_max, self._settings.chunk_bytes_max)
        covered: list[bytes] = []
        for chunk in chunks[:-1]:
            with self._map.write() as writer:
                covered += _write_chunk(writer, chunk)
            yield
        self._write_last(plan, chunks[-1], covered)
        yield

    def _write_last(self, plan: ApplyPlan, chunk: Chunk, covered: list[bytes]) -> None:
        after = plan.after
        with self._map.write() as writer:
            covered = covered + _write_chunk(writer, chunk)
            change = None
            if plan.deltas:
                change = self._statistics.change(writer, plan.deltas)
                writer.put(Table.VERSIONS, change.puts)
            if plan.drops:
                writer.put(Table.DROPS, _drop_entries(plan))
            writer.put(Table.META, progress_entries(plan.before, after))
        # Committed: only now may memory follow.
        self.progress = after
        if change is not None:
            self._statistics.accept(change)
        self._queue_covered(plan, covered)
        for timestamp, relfilenode in plan.drops:
            self._statistics.forget(relfilenode)
            self.collector.add_drops(timestamp, [relfilenode])

    def _queue_covered(self, plan: ApplyPlan, found: list[bytes]) -> None:
        """Queue what was written over: what the operations say, and the stored keys that were found to be so."""
        covered = plan.versions.covered
        if found:
            covered = sorted(covered + [(timestamp_of(stored), key_of(stored)) for stored in found])
        self.collector.queue.add(covered)

    def collect(self, horizon: Timestamp, limit: int) -> Collected:
        """One slice of collection up to a confirmed horizon. Raises OutOfRoom."""
        self._remember_horizon(horizon)
        return self.collector.collect(horizon, limit)

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


def _write_chunk(writer: MapWriter, chunk: Chunk) -> list[bytes]:
    """Stored keys that are over an older version though their operation did not say so."""
    if chunk.puts:
        writer.put(Table.VERSIONS, chunk.puts)
    if chunk.puts_that_may_cover:
        return writer.put_versions_over(chunk.puts_that_may_cover)
    return []


def _drop_entries(plan: ApplyPlan) -> list[Entry]:
    return [(relfilenode.to_bytes(4, "big"), timestamp.to_bytes(8, "little")) for timestamp, relfilenode in plan.drops]

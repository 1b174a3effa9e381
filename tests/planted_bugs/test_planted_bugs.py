"""Bugs that are planted into the logic: the simulation must catch each of them, or it proves nothing.

A bug is planted by putting a faulty part in place of a sound one: of Python's parts in memory, of the core in C by
building it anew from a source that was changed. Those that are not easily planted there go into the reference, which
decides as the core does (tests/unit/adjudicator/test_equivalence.py). The simulation then runs seeds, with the kinds of
faults that bring such a bug to light, until a checker objects; what it says must be one of the things that this bug
can cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from borealis.adjudicator import adjudicator as production
from borealis.adjudicator import sequences
from borealis.adjudicator.service import TransactionService
from borealis.foundation.identifiers import NO_TIMESTAMP, Position, Timestamp
from borealis.journal import recovery, segments
from borealis.journal.file_journal import FileJournal
from borealis.storage import replica as storage_replica
from borealis.storage.apply import ApplyPlan
from borealis.storage.collector import Collected
from borealis.storage.ordered_map import MapWriter, MemoryMap, Table
from borealis.storage.replica import Replica
from simulation.faults import Fault
from simulation.reference import adjudicator, conflicts, outcomes
from simulation.storage_process import SETTINGS, StorageProcess
from simulation.world import REFERENCE, Parts, run

SEEDS_MAX = 60
Plant = Callable[[pytest.MonkeyPatch], Parts]


@dataclass(frozen=True)
class PlantedBug:
    name: str
    plant: Plant
    faults: Sequence[Fault]
    caught_as: Sequence[str]


def ignore_a_write_in_the_conflict_check(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = adjudicator.footprint_of

    def faulty(record: Any) -> Any:
        footprint = sound(record)
        return footprint._replace(keys=footprint.keys[1:])

    monkeypatch.setattr(adjudicator, "footprint_of", faulty)
    return REFERENCE


def let_updates_of_a_row_pass_each_other(monkeypatch: pytest.MonkeyPatch) -> Parts:
    update = conflicts.ConflictClass.UPDATE
    faulty = tuple(each for each in conflicts.CONFLICTING[update] if each != update)
    monkeypatch.setitem(conflicts.CONFLICTING, update, faulty)
    return REFERENCE


def ignore_locks(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = adjudicator.footprint_of

    def faulty(record: Any) -> Any:
        footprint = sound(record)
        writes = len(footprint.keys) - len(record.lock_keys)
        return footprint._replace(keys=footprint.keys[:writes])

    monkeypatch.setattr(adjudicator, "footprint_of", faulty)
    return REFERENCE


def build_indexes_on_tables_that_change(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(conflicts.Generation, "_find_row", lambda *_: None)
    return REFERENCE


def forget_conflicts_without_raising_the_floor(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(conflicts.ConflictWindow, "floor", property(lambda _: NO_TIMESTAMP))
    return REFERENCE


def acknowledge_before_persisting(monkeypatch: pytest.MonkeyPatch) -> Parts:
    def faulty(self: Any, offset: int, data: bytes) -> None:
        for file in self._files:
            file.write_at(offset, data)  # and no sync

    monkeypatch.setattr(FileJournal, "_write_durably", faulty)
    return Parts()


def publish_before_persisting(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = adjudicator.ReferenceAdjudicator.complete

    def faulty(self: Any, effects: Any, decision: Any) -> None:
        if decision.has_records:
            effects.publish(self.published._replace(acknowledged=decision.last_timestamp), self.lease_start)
        sound(self, effects, decision)

    monkeypatch.setattr(adjudicator.ReferenceAdjudicator, "complete", faulty)
    return REFERENCE


def publish_one_group_late(monkeypatch: pytest.MonkeyPatch) -> Parts:
    class Late(TransactionService):
        def __init__(self, disk: Any, zones: Any, effects: Any, limits: Any) -> None:
            waiting: list[Any] = []
            publish = effects.publish

            def publish_the_one_before(*published: Any) -> None:
                waiting.append(published)
                publish(*(waiting.pop(0) if len(waiting) > 1 else waiting[0]))

            effects.publish = publish_the_one_before
            super().__init__(disk, zones, effects, limits)

    del monkeypatch
    return Parts(make_service=Late)


def admit_what_began_before_the_lease(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = adjudicator.ReferenceAdjudicator.begin_lease

    def faulty(self: Any, record: Any) -> None:
        sound(self, record)
        self._lease_start = Timestamp(1)
        self._window = conflicts.ConflictWindow(NO_TIMESTAMP, self._limits.window)

    monkeypatch.setattr(adjudicator.ReferenceAdjudicator, "begin_lease", faulty)
    return REFERENCE


def answer_outcomes_without_fencing(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(outcomes.OutcomeMemory, "fence", lambda *_: True)
    return REFERENCE


def forget_fencing_what_is_given_up(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(adjudicator.ReferenceAdjudicator, "give_up", lambda _self, _record, refusal: refusal)
    return REFERENCE


def forget_outcomes_at_a_restart(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = adjudicator.ReferenceAdjudicator.begin_lease

    def faulty(self: Any, record: Any) -> None:
        sound(self, record)
        self._outcomes = outcomes.OutcomeMemory(
            self._outcomes.since, self._published.catalog_version, self._limits.outcomes
        )

    monkeypatch.setattr(adjudicator.ReferenceAdjudicator, "begin_lease", faulty)
    return REFERENCE


def ignore_the_schema_version(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(adjudicator, "_refuse_by_catalog", lambda *_: None)
    return REFERENCE


def give_out_sequence_values_without_reserving(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = sequences.step
    monkeypatch.setattr(production, "step", lambda state, call: sound(state, call)._replace(reservation=None))
    return Parts()


def leave_sequences_out_of_checkpoints(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(sequences.SequenceTable, "reservations", lambda _: [])
    return Parts()


def believe_a_torn_batch(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(segments, "is_batch_intact", lambda header, data, offset=0: offset + header.length <= len(data))
    return Parts()


def trust_the_cache_at_recovery(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(recovery, "_write_repairs", lambda *_: None)
    return Parts()


def truncate_beyond_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> Parts:
    sound = FileJournal.truncate
    monkeypatch.setattr(
        FileJournal, "truncate", lambda self, _below, keep_after: sound(self, Position(self.end), keep_after)
    )
    return Parts()


class _FaultyReplica(Replica):
    def __init__(self, ordered_map: MemoryMap) -> None:
        super().__init__(ordered_map, SETTINGS)


def skip_an_apply(monkeypatch: pytest.MonkeyPatch) -> Parts:
    class Forgetful(_FaultyReplica):
        def write(self, plan: ApplyPlan) -> Iterator[None]:
            if len(plan.versions.puts) > 3:
                plan.versions.puts.pop()
            return super().write(plan)

    del monkeypatch
    return Parts(make_replica=Forgetful)


def apply_twice(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """The position is not written with the versions but a transaction later."""

    class Stuttering(_FaultyReplica):
        def _write_last(self, plan: ApplyPlan, *others: Any) -> None:
            with self._map.read() as reader:
                before = [(key, reader.get(Table.META, key)) for key in storage_replica.META_KEYS]
            super()._write_last(plan, *others)
            known = self._map.tables[Table.META]
            for key, value in before:
                if value is not None:
                    known[key] = value

    del monkeypatch
    return Parts(make_replica=Stuttering)


def serve_before_the_watermark(monkeypatch: pytest.MonkeyPatch) -> Parts:
    class Early(StorageProcess):
        def _receive(self) -> None:
            super()._receive()
            self._page.applied = self._service.acknowledged

    del monkeypatch
    return Parts(storage_process=Early)


def collect_versions_that_readers_need(monkeypatch: pytest.MonkeyPatch) -> Parts:
    class Greedy(_FaultyReplica):
        def collect(self, _horizon: Timestamp, limit: int) -> Collected:
            return super().collect(self.progress.timestamp, limit)

    del monkeypatch
    return Parts(make_replica=Greedy)


def write_half_a_batch_visibly(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """The watermark moves with the first chunk of a plan instead of the last."""

    class Impatient(_FaultyReplica):
        def write(self, plan: ApplyPlan) -> Iterator[None]:
            self.progress = plan.after
            for _ in super().write(plan):
                with self._map.write() as writer:
                    _store_progress(writer, plan)
                yield

    del monkeypatch
    return Parts(make_replica=Impatient)


def _store_progress(writer: MapWriter, plan: ApplyPlan) -> None:
    writer.put(Table.META, storage_replica.progress_entries(plan.before, plan.after))


KILLS = (Fault.KILL_SERVICE, Fault.CONNECTIONS)
NONE: Sequence[Fault] = ()

BUGS = [
    PlantedBug("ignore a write", ignore_a_write_in_the_conflict_check, NONE, ("lost update", "incompatible order")),
    PlantedBug("updates pass", let_updates_of_a_row_pass_each_other, NONE, ("lost update", "lost append")),
    PlantedBug("ignore locks", ignore_locks, NONE, ("lost update",)),
    PlantedBug("ignore locks on tables", build_indexes_on_tables_that_change, NONE, ("lost update",)),
    PlantedBug("no floor", forget_conflicts_without_raising_the_floor, NONE, ("lost update",)),
    PlantedBug(
        "acknowledge before persisting",
        acknowledge_before_persisting,
        (Fault.POWER_LOSS,),
        ("lost commit", "a process ended", "lost append"),
    ),
    PlantedBug("publish before persisting", publish_before_persisting, KILLS, ("a process ended",)),
    PlantedBug("publish late", publish_one_group_late, NONE, ("stale read", "G-single-realtime")),
    PlantedBug("no lease", admit_what_began_before_the_lease, KILLS, ("lost update",)),
    PlantedBug("no fence", answer_outcomes_without_fencing, KILLS, ("false refusal",)),
    PlantedBug(
        "given up, not fenced",
        forget_fencing_what_is_given_up,
        (Fault.DISK_FULL, Fault.SLOW_STORAGE),
        ("false refusal",),
    ),
    PlantedBug("outcomes forgotten", forget_outcomes_at_a_restart, KILLS, ("false refusal",)),
    PlantedBug("schema ignored", ignore_the_schema_version, NONE, ("stale schema", "stale catalog")),
    PlantedBug("sequence unreserved", give_out_sequence_values_without_reserving, KILLS, ("sequence value twice",)),
    PlantedBug("checkpoint without sequences", leave_sequences_out_of_checkpoints, KILLS, ("sequence value twice",)),
    PlantedBug("torn batch", believe_a_torn_batch, (Fault.POWER_LOSS,), ("a process ended", "the journal is nonsense")),
    PlantedBug(
        "cache trusted",
        trust_the_cache_at_recovery,
        (Fault.POWER_LOSS, Fault.SYNC_FAILURE),
        ("a process ended", "lost commit"),
    ),
    PlantedBug("truncated too far", truncate_beyond_the_snapshot, (Fault.POWER_LOSS,), ("a process ended",)),
    PlantedBug("apply skipped", skip_an_apply, NONE, ("wrong read", "apply")),
    PlantedBug("applied twice", apply_twice, (Fault.KILL_STORAGE,), ("not applied exactly once", "a process ended")),
    PlantedBug("served early", serve_before_the_watermark, NONE, ("wrong read",)),
    PlantedBug("collected early", collect_versions_that_readers_need, NONE, ("wrong read",)),
    PlantedBug(
        "half a batch", write_half_a_batch_visibly, (Fault.KILL_STORAGE,), ("not applied exactly once", "apply")
    ),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_caught(bug: PlantedBug, monkeypatch: pytest.MonkeyPatch) -> None:
    catch(bug.plant(monkeypatch), bug.faults, bug.caught_as)


def catch(parts: Parts, faults: Sequence[Fault], caught_as: Sequence[str]) -> None:
    for seed in range(SEEDS_MAX):
        kinds = {violation.kind for violation in run(seed, parts, list(faults)).violations}
        if kinds:
            assert kinds.intersection(caught_as), f"seed {seed} was only caught as {sorted(kinds)}"
            return
    pytest.fail(f"{SEEDS_MAX} seeds did not catch it")

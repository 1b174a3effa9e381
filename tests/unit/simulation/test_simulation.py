"""The simulation must be exact before anything that it says counts."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from simulation import library
from simulation.disk import SECTOR_BYTES, VirtualDisk
from simulation.faults import Fault
from simulation.history import Outcome
from simulation.scheduler import Mailbox, Scheduler, Script, Sleep, Take, Task
from simulation.world import REFERENCE, run
from tests.examples import examples

ZONE = Path("zone")


@pytest.mark.parametrize("seed", range(examples(10)))
def test_a_seed_replays_exactly(seed: int) -> None:
    first, second = run(seed), run(seed)
    assert first.faults == second.faults
    assert [(vars(attempt)) for attempt in first.history.attempts] == [
        vars(attempt) for attempt in second.history.attempts
    ]
    assert first.history.grants == second.history.grants
    assert first.violations == second.violations == []


@pytest.mark.parametrize("seed", range(10, 10 + examples(10)))
def test_a_seed_goes_the_same_way_with_the_reference(seed: int) -> None:
    """Every answer of a life is the same, and so is everything that follows from it."""
    production, reference = run(seed), run(seed, REFERENCE)
    assert list(map(vars, production.history.attempts)) == list(map(vars, reference.history.attempts))
    assert production.history.grants == reference.history.grants
    assert production.violations == reference.violations == []


def test_a_world_without_faults_loses_nothing_and_refuses_only_conflicts() -> None:
    report = run(1, faults=[])
    assert report.service_deaths == 0
    outcomes = {attempt.outcome for attempt in report.history.attempts}
    assert Outcome.UNKNOWN not in outcomes
    assert {Outcome.COMMITTED, Outcome.REJECTED, Outcome.READ_ONLY} <= outcomes


@pytest.mark.parametrize("seed", range(examples(10)))
def test_storage_in_c_keeps_the_same_promises(seed: int) -> None:
    report = run(seed, library.PARTS)
    assert report.violations == []
    assert report.history.attempts


def test_without_faults_storage_in_c_gives_the_same_history() -> None:
    first, second = run(1, faults=[]), run(1, library.PARTS, faults=[])
    assert [vars(attempt) for attempt in first.history.attempts] == [
        vars(attempt) for attempt in second.history.attempts
    ]


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_alone_is_survived(fault: Fault) -> None:
    for seed in range(examples(5)):
        report = run(seed, faults=[fault])
        assert report.violations == []
        assert sum(attempt.outcome is Outcome.COMMITTED for attempt in report.history.attempts) > 10


def test_what_is_not_synced_may_be_lost_in_any_part_when_the_machine_stops() -> None:
    outcomes = set()
    for seed in range(60):
        disk = VirtualDisk(Random(seed))
        file = disk.create(ZONE / "file")
        file.write_at(0, b"a" * SECTOR_BYTES)
        file.sync()
        disk.sync_directory(ZONE)
        file.write_at(0, b"b" * (2 * SECTOR_BYTES))
        disk.rename(ZONE / "file", ZONE / "other")
        disk.lose_power()
        ((path, data),) = disk.files().items()
        outcomes.add((path.name, data[:1], data[SECTOR_BYTES:][:1]))
    assert {name for name, _, _ in outcomes} == {"file", "other"}
    assert {first for _, first, _ in outcomes} == {b"a", b"b"}
    assert {second for _, _, second in outcomes} == {b"", b"\0", b"b"}


def test_what_is_synced_stays() -> None:
    for seed in range(20):
        disk = VirtualDisk(Random(seed))
        file = disk.create(ZONE / "file")
        file.write_at(100, b"hello")
        file.sync()
        disk.sync_directory(ZONE)
        disk.lose_power()
        assert disk.open(ZONE / "file").read_at(100, 5) == b"hello"


def test_a_failed_sync_leaves_the_cache_as_if_nothing_were() -> None:
    disk = VirtualDisk(Random(0))
    file = disk.create(ZONE / "file")
    disk.sync_directory(ZONE)
    file.write_at(0, b"hello")
    disk.fails_next_sync = True
    with pytest.raises(OSError, match="input/output"):
        file.sync()
    file.sync()
    assert file.read_at(0, 5) == b"hello"
    disk.lose_power()
    assert disk.open(ZONE / "file").read_at(0, 5) in (b"", bytes(5))


def test_tasks_take_messages_and_give_up_in_time() -> None:
    scheduler = Scheduler(0)
    mailbox = Mailbox()
    seen: list[object] = []

    def script() -> Script:
        seen.append((yield Take(mailbox, 10)))
        seen.append((yield Take(mailbox, 10)))
        yield Sleep(5)
        seen.append(scheduler.now)

    Task(scheduler, script())
    scheduler.after(3, lambda: mailbox.put("hello"))
    scheduler.run_until(100)
    assert seen == ["hello", None, 18]


def test_a_cancelled_task_goes_no_further() -> None:
    scheduler = Scheduler(0)
    seen: list[str] = []

    def script() -> Script:
        try:
            yield Sleep(5)
            seen.append("went on")
        finally:
            seen.append("ended")

    task = Task(scheduler, script())
    scheduler.run_until(1)
    task.cancel()
    scheduler.run_until(100)
    assert seen == ["ended"]

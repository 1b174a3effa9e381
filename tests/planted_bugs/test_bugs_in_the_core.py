"""Bugs that are planted into the core in C: it is built anew from a source that was changed, and must be caught.

By the comparison with the reference, always; by the checkers of the simulation, where a bug can break a promise.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from borealis.adjudicator import adjudicator
from borealis.adjudicator.core import Core
from borealis.adjudicator.library import load_library
from simulation.faults import Fault
from simulation.world import Parts
from tests.planted_bugs.test_planted_bugs import KILLS, NONE, catch
from tests.unit.adjudicator.test_equivalence import LIMITS, long_history

ROOT = Path(__file__).parents[2]
FOLDERS = ("transaction_library", "library_foundation")


@dataclass(frozen=True)
class CoreBug:
    name: str
    changes: Sequence[tuple[str, str, str]]
    """File, what is there once, what is put in its place."""
    caught_as: Sequence[str] = ()
    """What the checkers of the simulation call it."""
    faults: Sequence[Fault] = NONE


BUGS = [
    CoreBug(
        "ignore a write",
        [
            (
                "window.c",
                "hash_bytes(key, length, window->seed));\n\t\tif (touched == NULL)\n\t\t\tcontinue;",
                "hash_bytes(key, length, window->seed));\n\t\tif (touched == NULL || number == 0)\n\t\t\tcontinue;",
            )
        ],
        ("lost update", "incompatible order"),
    ),
    CoreBug(
        "updates pass",
        [
            (
                "window.c",
                "[UPDATE_CLASS] = 1 << EXCLUSIVE_CLASS | 1 << UPDATE_CLASS |",
                "[UPDATE_CLASS] = 1 << EXCLUSIVE_CLASS |",
            )
        ],
        ("lost update", "lost append"),
    ),
    CoreBug(
        "ignore locks",
        [("window.c", "if (key == NULL && record->locks.count > 0)\n", "if (key == NULL && 0)\n")],
        ("lost update",),
    ),
    CoreBug(
        "ignore locks on tables",
        [("window.c", "if (key == NULL && record->entry_bytes > 0", "if (key == NULL && 0 && record->entry_bytes > 0")],
        ("lost update",),
    ),
    CoreBug(
        "no floor",
        [("window.c", "window->floor = generation->newest;", "(void) generation;")],
        ("lost update",),
    ),
    CoreBug(
        "no lease",
        [
            ("core.c", "core->state.lease_start = timestamp;", "core->state.lease_start = 1;"),
            ("core.c", "window_restart(&core->window, timestamp);", "window_restart(&core->window, 0);"),
        ],
        ("lost update",),
        KILLS,
    ),
    CoreBug(
        "no fence",
        [("core.c", "outcomes_fence(&core->outcomes, id, read_timestamp);", "1; (void) id, (void) read_timestamp;")],
        ("false refusal",),
        KILLS,
    ),
    CoreBug(
        "schema ignored",
        [("core.c", "record->schema_version != core->group.schema_version", "0")],
        ("stale schema", "stale catalog"),
    ),
    CoreBug(
        "commit twice",
        [("core.c", "tx_find_committed(core, record.id, record.read_timestamp, answer) ||", "")],
    ),
    CoreBug(
        "newest timestamp not kept",
        [
            (
                "window.c",
                "touched->newest[its_class] = timestamp;",
                "if (touched->newest[its_class] == 0)\n\t\t\ttouched->newest[its_class] = timestamp;",
            )
        ],
    ),
    CoreBug(
        "floor one too low",
        [("window.c", "generation->newest > window->floor", "generation->newest - 1 > window->floor")],
    ),
    CoreBug("key not counted", [("window.c", "length + KEY_OVERHEAD_BYTES;", "KEY_OVERHEAD_BYTES;")]),
    CoreBug("fence dropped early", [("outcomes.c", ".value > below", ".value > below + 1")]),
    CoreBug(
        "outcomes counted one too few",
        [("outcomes.c", "count <= outcomes->outcomes_max", "count < outcomes->outcomes_max")],
    ),
    CoreBug(
        "newest catalog version", [("outcomes.c", "count > 0 && outcomes->versions[count - 1].start > timestamp", "0")]
    ),
    CoreBug("timestamp of the clock", [("core.c", "now > core->state.acknowledged ? now :", "now > 0 ? now :")]),
    CoreBug("no padding", [("core.c", "size_t\t\tpadding = -length % ALIGNMENT;", "size_t\t\tpadding = 0;")]),
]

# The comparison with the reference does not see them: it has no effects.
ORDER_BUGS = [
    CoreBug(
        "published before it is durable",
        [
            (
                "core.c",
                "\tproblem = effects->persist(",
                "\tconfirm(core);\n\tproblem = effects->publish(effects->context, &core->state);\n\tif (problem != 0)\n"
                "\t\treturn problem;\n\tproblem = effects->persist(",
            )
        ],
        ("a process ended",),
        KILLS,
    ),
    CoreBug(
        "published before it is confirmed",
        [
            (
                "core.c",
                "\tconfirm(core);\n\tproblem = effects->publish(effects->context, &core->state);\n",
                "\tproblem = effects->publish(effects->context, &core->state);\n\tconfirm(core);\n",
            )
        ],
        ("stale read", "G-single-realtime"),
    ),
]


@pytest.fixture
def faulty_core(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CoreBug:
    """The bug that the test is about; the adjudicator has it, too."""
    bug: CoreBug = request.param
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    sources = tmp_path / FOLDERS[0]
    for name, sound, faulty in bug.changes:
        text = (sources / name).read_text()
        assert text.count(sound) == 1, f"{name} has changed: {sound!r} is there {text.count(sound)} times"
        (sources / name).write_text(text.replace(sound, faulty))
    build = ["make", "-s", "-C", str(sources), f"BUILD={tmp_path}/build", f"OUT={tmp_path}", "OPTIMIZE=-O0", "WERROR="]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = tmp_path.glob("borealis_transactions.*")
    monkeypatch.setattr(adjudicator, "Core", partial(Core, library=load_library(built)))
    return bug


@pytest.mark.parametrize("faulty_core", [CoreBug("none", [])], ids=lambda bug: bug.name, indirect=True)
def test_a_core_without_a_bug_passes(faulty_core: CoreBug) -> None:
    assert not faulty_core.changes
    list(map(long_history, LIMITS))


@pytest.mark.parametrize("faulty_core", BUGS, ids=lambda bug: bug.name, indirect=True)
def test_a_bug_in_the_core_is_caught(faulty_core: CoreBug) -> None:
    with pytest.raises(AssertionError):
        list(map(long_history, LIMITS))
    if faulty_core.caught_as:
        catch(Parts(), faulty_core.faults, faulty_core.caught_as)


@pytest.mark.parametrize("faulty_core", ORDER_BUGS, ids=lambda bug: bug.name, indirect=True)
def test_a_wrong_order_of_steps_is_caught(faulty_core: CoreBug) -> None:
    catch(Parts(), faulty_core.faults, faulty_core.caught_as)

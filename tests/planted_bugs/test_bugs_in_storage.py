"""Bugs that are planted into storage's library: it is built anew from a source that was changed, and must be caught.

The simulation runs seeds with it in a process of its own, since the library is loaded once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("storage_library", "library_foundation", "postgres_extension")
SEEDS = 20


@dataclass(frozen=True)
class StorageBug:
    name: str
    file: str
    sound: str
    faulty: str


BUGS = [
    StorageBug(
        "the newest version below the horizon goes, too",
        "leaves.c",
        "\t\t\trun.is_anchored = true;\n",
        "\t\t\trun.is_anchored = true;\n\t\t\tadd_key(&cleaning->garbage, stored.mv_data, stored.mv_size);\n",
    ),
    StorageBug(
        "versions above the horizon make others garbage",
        "leaves.c",
        "horizon_suffix, SUFFIX_BYTES) >= 0)",
        "horizon_suffix, SUFFIX_BYTES) >= 0 || index > 0)",
    ),
    StorageBug(
        "a slice takes what is above the horizon",
        "versions.c",
        "stored = make_stored_key(newest, key, key_size, horizon);",
        "stored = make_stored_key(newest, key, key_size, UINT64_MAX);",
    ),
]


def simulate(folder: Path, bug: StorageBug | None) -> subprocess.CompletedProcess[str]:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("tests"))
    sources = folder / FOLDERS[0]
    if bug is not None:
        text = (sources / bug.file).read_text()
        assert text.count(bug.sound) == 1, (
            f"{bug.file} has changed: {bug.sound!r} is there {text.count(bug.sound)} times"
        )
        (sources / bug.file).write_text(text.replace(bug.sound, bug.faulty))
    variables = [f"BUILD={folder}/build", f"OUT={folder}", "OPTIMIZE=-O0", "WERROR="]
    variables += [f"PYTHON={sys.executable}", f"DOWNLOAD={ROOT}/.build/download"]
    subprocess.run(["make", "-s", "-C", str(sources), *variables], check=True, capture_output=True)
    (built,) = folder.glob("borealis_storage.*")
    return subprocess.run(
        [sys.executable, "-m", "simulation", "--library", "--count", str(SEEDS)],
        cwd=ROOT,
        env={**os.environ, "BOREALIS_STORAGE_LIBRARY": str(built)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_library_without_a_bug_passes(tmp_path: Path) -> None:
    done = simulate(tmp_path, None)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_in_the_library_is_caught(bug: StorageBug, tmp_path: Path) -> None:
    done = simulate(tmp_path, bug)
    assert done.returncode == 1
    assert "wrong read" in done.stdout

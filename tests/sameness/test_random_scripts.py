"""Scripts that a seed writes give the same output on stock Postgres and on Borealis.

RANDOM_SCRIPTS=first:last runs other seeds than the fixed ones.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.sameness.permitted import judge
from tests.sameness.random_script import random_script
from tests.sameness.script import Server, end_state, run_script

FIRST, LAST = map(int, os.environ.get("RANDOM_SCRIPTS", "1:16").split(":"))


@pytest.mark.parametrize("seed", range(FIRST, LAST))
def test_random_script_gives_the_same_output(seed: int, reference: Server, instances: list[Server]) -> None:
    script = random_script(seed)
    report = judge(run_script(script, [reference]), run_script(script, instances), Counter(), script)
    expected = end_state(reference)
    for instance in instances:
        report += judge(expected, end_state(instance), Counter())
    assert not report, f"RANDOM_SCRIPTS={seed}:{seed + 1} differs (left Postgres, right Borealis):\n{report}"


def test_a_seed_always_writes_the_same_script() -> None:
    assert random_script(7) == random_script(7)
    assert random_script(7) != random_script(8)

"""The same SQL on stock Postgres and on Borealis gives the same output, but for listed differences with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sameness.corpus import HERE, SCRIPTS, compare
from tests.sameness.permitted import judge, parse_permitted
from tests.sameness.script import Server, end_state, run_script


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_gives_the_same_output(script: Path, reference: Server, instances: list[Server]) -> None:
    report = compare(script, reference, instances)
    assert not report, f"{script.relative_to(HERE)} differs (left Postgres, right Borealis):\n{report}"


@pytest.mark.parametrize("script", SCRIPTS[:2], ids=lambda script: script.stem)
def test_comparison_notices_a_difference(script: Path, reference: Server) -> None:
    """The comparison is no formality: one changed statement must be reported."""
    text = script.read_text()
    changed = text + "\nselect 'one statement more';\n"
    assert judge(run_script(text, [reference]), run_script(changed, [reference]), parse_permitted(""))
    assert "create table" in end_state(reference).lower()


def test_every_list_of_differences_belongs_to_a_script() -> None:
    scripts = {script.stem for script in SCRIPTS}
    for listed in (HERE / "differences").glob("*.txt"):
        assert listed.name.removesuffix(".txt").removesuffix(".end") in scripts
        assert parse_permitted(listed.read_text()), f"{listed.name} lists nothing"

"""The corpus: where its scripts are, what each may do differently, and the comparison of one script on two databases.

`sql/NAME.sql` is a script; `differences/NAME.txt` lists the permitted differences of its transcript and
`differences/NAME.end.txt` those of what it leaves behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.sameness.permitted import Difference, judge, parse_permitted
from tests.sameness.script import Server, end_state, run_script

HERE = Path(__file__).parent
SCRIPTS = sorted((HERE / "sql").glob("*.sql"))


def permitted_differences(name: str) -> Counter[Difference]:
    listed = HERE / "differences" / f"{name}.txt"
    return parse_permitted(listed.read_text() if listed.exists() else "")


def compare(script: Path, reference: Server, instances: Sequence[Server]) -> str:
    """Runs a script on both databases; a report of every difference that is not permitted, empty if there is none.

    What the script leaves behind is compared as every instance sees it, so that an instance which only replayed the
    definitions and the rows of another is judged as well.
    """
    text = script.read_text()
    transcripts = run_script(text, [reference]), run_script(text, instances)
    parts = [judge(*transcripts, permitted_differences(script.stem), text)]
    expected = end_state(reference)
    for number, instance in enumerate(instances, start=1):
        problem = judge(expected, end_state(instance), permitted_differences(f"{script.stem}.end"))
        parts.append(f"left behind, as instance {number} sees it:\n{problem}" if problem else "")
    return "\n\n".join(filter(None, parts))

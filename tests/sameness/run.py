"""Runs scripts of the corpus by hand: `python tests/sameness/run.py LEFT RIGHT[,RIGHT] [script ...]`.

LEFT and RIGHT are `host:port`; a second RIGHT is the second instance. LEFT is the reference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.sameness.permitted import judge, parse_permitted  # noqa: E402
from tests.sameness.script import Server, end_state, run_script  # noqa: E402

HERE = Path(__file__).parent


def permitted_text(script: Path) -> str:
    listed = HERE / "differences" / f"{script.stem}.txt"
    return listed.read_text() if listed.exists() else ""


def compare(script: Path, left: list[Server], right: list[Server]) -> str:
    """The report on one script; empty if all is as it should be."""
    text = script.read_text()
    left_output, right_output = run_script(text, left), run_script(text, right)
    report = judge(left_output, right_output, parse_permitted(permitted_text(script)))
    if not report and not permitted_text(script):
        left_end = end_state(left[0])
        for number, instance in enumerate(right):
            if problem := judge(left_end, end_state(instance), parse_permitted("")):
                report += f"\nend state on instance {number}:\n{problem}"
    return report


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("left")
    arguments.add_argument("right")
    arguments.add_argument("scripts", nargs="*", type=Path)
    arguments.add_argument("--programs", type=Path, required=True)
    arguments.add_argument("--user", default="postgres")
    arguments.add_argument("--database", default="postgres")
    options = arguments.parse_args()

    def servers(text: str) -> list[Server]:
        return [
            Server(options.programs, host, int(port), options.user, options.database)
            for host, _, port in (part.rpartition(":") for part in text.split(","))
        ]

    failed = 0
    for script in options.scripts or sorted((HERE / "sql").glob("*.sql")):
        report = compare(script, servers(options.left), servers(options.right))
        print(f"{'FAIL' if report else 'ok  '} {script.stem}", flush=True)
        if report:
            failed += 1
            print(report, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs scripts of the corpus by hand: `python tests/sameness/run.py LEFT RIGHT[,RIGHT] [script ...]`.

LEFT and RIGHT are `host:port`; a second RIGHT is the second instance. LEFT is the reference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.sameness.corpus import SCRIPTS, compare
from tests.sameness.script import Server, SessionLostError


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("left")
    arguments.add_argument("right")
    arguments.add_argument("scripts", nargs="*", type=Path)
    arguments.add_argument("--programs", type=Path, required=True)
    arguments.add_argument("--user", default="admin")
    arguments.add_argument("--database", default="postgres")
    options = arguments.parse_args()

    def servers(text: str) -> list[Server]:
        return [
            Server(options.programs, host, int(port), options.user, options.database)
            for host, _, port in (part.rpartition(":") for part in text.split(","))
        ]

    failed = 0
    for script in options.scripts or SCRIPTS:
        try:
            report = compare(script, servers(options.left)[0], servers(options.right))
        except SessionLostError as problem:
            report = str(problem)
        print(f"{'FAIL' if report else 'ok  '} {script.stem}", flush=True)
        if report:
            failed += 1
            print(report, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures Borealis against stock Postgres of the same wheel, on the same disk, in the same run.

Rounds are interleaved: each workload runs on one database, then on the other, and the order turns with every round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.databases import Borealis, Database, StockPostgres, remove
from benchmarks.processes import idle_memory, wait_for_rest
from benchmarks.report import Result, circumstances, table, write_into, write_json
from benchmarks.workloads import CHECKOUT, Scale, Workload, all_workloads

ROUNDS, ROUNDS_QUICK = 5, 3
FULL, QUICK = Scale(seconds=5, factor=10, rows=1_000_000), Scale(seconds=2, factor=10, rows=200_000)
IDLE_S = 5.0
DOCUMENT = CHECKOUT / "docs/benchmarks.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, less data")
    parser.add_argument("--rounds", type=int, help=f"interleaved rounds (default {ROUNDS}, quick {ROUNDS_QUICK})")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument(
        "--against-itself", action="store_true", help="stock Postgres on both sides: how exact is this?"
    )
    parser.add_argument("--folder", type=Path, help="where both databases lie (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--write", action="store_true", help=f"also write the table into {DOCUMENT.name}")
    return parser.parse_args()


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(
    workload: Workload, databases: tuple[Database, Database], scale: Scale, rounds: int
) -> tuple[list[float], list[float]]:
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            wait_for_rest(database.process_id() for database in databases)
            rates[side].append(workload.measure(databases[side], scale))
        progress(f"{workload.name}: round {turn + 1}, {rates[0][-1]:,.4g} and {rates[1][-1]:,.4g} {workload.unit}")
    return rates


def run(options: argparse.Namespace, folder: Path) -> None:
    scale = QUICK if options.quick else FULL
    rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    other = folder / "other"
    other.mkdir(mode=0o755)
    second: Database = StockPostgres(other) if options.against_itself else Borealis(other)
    databases = (StockPostgres(folder), second)
    workloads = [workload for workload in all_workloads(folder) if options.only in workload.name]
    memory_mib: dict[str, float] = {}
    results = []
    try:
        for database in databases:
            database.start()
        time.sleep(IDLE_S)
        memory_mib = idle_memory(second.process_id())
        for workload in workloads:
            for database in databases:
                workload.prepare(database, scale)
            reference, measured = measure(workload, databases, scale, rounds)
            results.append(Result(workload.name, workload.unit, workload.at_least, workload.aim, reference, measured))
    finally:
        for database in databases:
            database.stop()
    text = f"{circumstances(rounds, scale.seconds)}\n\n{table(results, (databases[0].name, second.name), memory_mib)}"
    print(text)
    for process, used in memory_mib.items():
        progress(f"{used:6.1f} MiB  {process}")
    if options.json:
        write_json(options.json, results, memory_mib)
    if options.write:
        write_into(DOCUMENT, text)


def main() -> None:
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="borealis-bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        run(options, folder)
    finally:
        remove(folder)


if __name__ == "__main__":
    main()

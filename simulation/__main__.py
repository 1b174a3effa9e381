"""`python -m simulation`: run seeds; a failure prints the command that replays it.

Every fifth seed is run with the adjudicator's specification in its place, too: it has to stay one.
"""

import argparse
import sys
import time

from simulation.library import PARTS as LIBRARY
from simulation.world import REFERENCE, Parts, Report, run

REFERENCE_EVERY = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Simulate clusters from seeds.")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--count", type=int, default=1, help="number of seeds (default 1)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--reference", action="store_true", help="run every seed with the reference adjudicator alone")
    kind.add_argument("--library", action="store_true", help="storage works with the C library and a map in a file")
    parser.add_argument("--verbose", action="store_true", help="say what happened in each run")
    chosen = parser.parse_args()
    began = time.monotonic()
    failures = 0
    attempts = 0
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        for parts in _parts_of(seed, chosen):
            report = run(seed, parts)
            attempts += len(report.history.attempts)
            if chosen.verbose:
                _describe(report)
            if report.violations:
                failures += 1
                _explain(report, parts)
    seconds = time.monotonic() - began
    print(f"{chosen.count} seeds, {attempts} transactions, {failures} failures, {seconds:.1f} s")
    return 1 if failures else 0


def _parts_of(seed: int, chosen: argparse.Namespace) -> list[Parts]:
    if chosen.library:
        return [LIBRARY]
    if chosen.reference:
        return [REFERENCE]
    return [Parts()] if seed % REFERENCE_EVERY else [Parts(), REFERENCE]


def _describe(report: Report) -> None:
    outcomes: dict[str, int] = {}
    for attempt in report.history.attempts:
        reason = f" ({attempt.reason.name})" if attempt.reason is not None else ""
        outcome = attempt.outcome.value + reason
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    faults = ", ".join(fault.name for fault in report.faults) or "none"
    print(f"seed {report.seed}: faults {faults}; service deaths {report.service_deaths}; {outcomes}")


def _explain(report: Report, parts: Parts) -> None:
    option = " --library" if parts is LIBRARY else " --reference" if parts is REFERENCE else ""
    print(f"seed {report.seed} fails; replay it with: python -m simulation --seed {report.seed}{option} --verbose")
    for violation in report.violations[:10]:
        print(f"  {violation.kind}: {violation.detail}")


if __name__ == "__main__":
    sys.exit(main())

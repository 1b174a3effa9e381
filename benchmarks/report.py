"""Results as a table, and where they go: the terminal, JSON, and between two marks of docs/benchmarks.md."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"
MEMORY_LIMIT_MB, MEMORY_AIM_MB = 120, 60


@dataclass(frozen=True)
class Result:
    """Rates of one workload, one for each round and database; rounds alternate between the two."""

    name: str
    unit: str
    at_least: float | None
    aim: float | None
    reference: Sequence[float]
    measured: Sequence[float]

    @property
    def ratio(self) -> float:
        """Median of the ratios of neighbouring measurements: a slow moment of the machine slows both."""
        return statistics.median(m / r for m, r in zip(self.measured, self.reference, strict=True))

    @property
    def spread(self) -> tuple[float, float]:
        ratios = [m / r for m, r in zip(self.measured, self.reference, strict=True)]
        return min(ratios), max(ratios)

    @property
    def verdict(self) -> str:
        if self.at_least is None or self.aim is None:
            return ""
        if self.ratio >= self.aim:
            return "aim reached"
        return "enough" if self.ratio >= self.at_least else "too slow"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results: Sequence[Result], names: tuple[str, str], memory_mib: Mapping[str, float]) -> str:
    lines = [
        f"| workload | {names[0]} | {names[1]} | ratio | lowest … highest | at least | aim | |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for result in results:
        reference, measured = statistics.median(result.reference), statistics.median(result.measured)
        low, high = result.spread
        lines.append(
            f"| {result.name} | {number(reference)} {result.unit} | {number(measured)} {result.unit}"
            f" | **{result.ratio:.2f}** | {low:.2f} … {high:.2f}"
            f" | {result.at_least or ''} | {result.aim or ''} | {result.verdict} |"
        )
    total = sum(memory_mib.values())
    if memory_mib:
        verdict = "aim reached" if total <= MEMORY_AIM_MB else "enough" if total <= MEMORY_LIMIT_MB else "too much"
        lines.append(
            f"| memory, idle, {len(memory_mib)} processes | | {total:.0f} MiB | | | {MEMORY_LIMIT_MB} | {MEMORY_AIM_MB}"
            f" | {verdict} |"
        )
    return "\n".join(lines)


def circumstances(rounds: int, seconds: int) -> str:
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return (
        f"Medians of {rounds} interleaved rounds, pgbench runs of {seconds} s; {platform.system()}"
        f" {platform.release()}, {platform.machine()}, {cores} cores. Ratios above 1 mean that Borealis is faster."
    )


def write_into(path: Path, text: str) -> None:
    """Replaces what stands between the marks."""
    content = path.read_text()
    before, mark, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{path} has no place for results: {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def write_json(path: Path, results: Sequence[Result], memory_mib: Mapping[str, float]) -> None:
    rows = [
        {"name": r.name, "unit": r.unit, "reference": list(r.reference), "measured": list(r.measured), "ratio": r.ratio}
        for r in results
    ]
    path.write_text(json.dumps({"workloads": rows, "memory_mib": dict(memory_mib)}, indent=2) + "\n")

"""Clients that arrive all at once, and what the relay spends on each. The clients take most of the time of the machine:
so the relay is judged by the processor time that it used, as the kernel counts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crowd import Crowd
from benchmarks.processes import processor_seconds
from borealis.host.layout import open_layout
from borealis.host.report import read_report

STORM = 2_000
# At a time, when it is the rate that is measured.
WAVE = 50


@dataclass(frozen=True)
class Storm:
    """Seconds until the last of a crowd was in: one that arrived at once, and the same again after all were dropped."""

    arrival_s: float
    return_s: float


def find_relay(data: Path) -> int:
    """The process of the relay, as its host reports it."""
    report = read_report(open_layout(data))
    for process in report.of(None) if report else ():
        if process.name == "relay" and process.process_id is not None:
            return process.process_id
    raise LookupError("no relay runs")


def storm(crowd: Crowd, count: int = STORM) -> Storm:
    with timed() as arrival:
        crowd.connect(count)
    crowd.drop()
    with timed() as back:
        crowd.connect(count)
    return Storm(arrival[0], back[0])


def connections_per_processor_second(crowd: Crowd, relay: int, count: int = STORM) -> float:
    """From accept to a session that is the front's, new handshake, token checked each time."""
    crowd.connect(WAVE)
    before = processor_seconds(relay)
    for _ in range(count // WAVE):
        crowd.connect(WAVE)
        crowd.drop()
    return count / (processor_seconds(relay) - before)


@contextmanager
def timed() -> Iterator[list[float]]:
    """The list holds the seconds once the block is over."""
    begin = time.perf_counter()
    took: list[float] = []
    yield took
    took.append(time.perf_counter() - begin)

"""Bounds on what the adjudicator remembers and admits. Times are in nanoseconds."""

from typing import NamedTuple

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND


class WindowLimits(NamedTuple):
    """How much the conflict window remembers. It may be over its bound by the generation that is growing."""

    window_bytes_max: int = 512 * 2**20
    generation_bytes_max: int = 32 * 2**20
    generation_span_ns_max: int = 5 * NANOSECONDS_PER_SECOND


class OutcomeLimits(NamedTuple):
    """How many outcomes are remembered. A restart replays as much of the journal, some microseconds for each."""

    age_ns_max: int = 60 * NANOSECONDS_PER_SECOND
    outcomes_max: int = 200_000
    fences_max: int = 100_000


class AdjudicatorLimits(NamedTuple):
    window: WindowLimits = WindowLimits()
    outcomes: OutcomeLimits = OutcomeLimits()
    transaction_age_ns_max: int = 300 * NANOSECONDS_PER_SECOND

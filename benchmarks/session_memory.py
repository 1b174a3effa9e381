"""What one more idle session costs all processes of a database together, and which of them.

Allocators rarely give back what they have had once, so what is compared is a small crowd and a large one while they are
held, in processes that have never held more: the difference belongs to the sessions by which the large one is larger.
Counted is what processes have for themselves and their share of what they share, without pages of files; what the
kernel needs for a socket belongs to no process, and is left out on all sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.idle_sessions import hold_sessions
from benchmarks.processes import held_bytes, wait_for_rest

SMALL_SHARE = 10


@dataclass(frozen=True)
class SessionMemory:
    """kB for each session, by the name of the process that holds it."""

    by_process: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.by_process.values())


def measure_session_memory(
    process_id: int, parameters: Mapping[str, str], count: int, statement: str = "SELECT 1"
) -> SessionMemory:
    """Of a session that has logged in at this door, and executed this statement. The processes are a tree."""
    small = count // SMALL_SHARE
    few = _while_held(process_id, parameters, small, statement)
    many = _while_held(process_id, parameters, count, statement)
    # Subtracts for every name, also of processes that are gone.
    many.subtract(few)
    return SessionMemory({name: held / (count - small) / 1000 for name, held in many.items()})


def _while_held(process_id: int, parameters: Mapping[str, str], count: int, statement: str) -> Counter[str]:
    with hold_sessions(parameters, count, statement):
        wait_for_rest([process_id])
        return held_bytes(process_id)

"""Which fronts serve which cluster, as the host has told: pure, the choice among them included."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

from borealis.foundation.errors import Unavailable

FrontId = NewType("FrontId", int)
"""Number of a front on its host, 1 to FRONT_ID_MAX; part of the cancel keys of its sessions, and kept over restarts."""

FRONT_ID_MAX = 2**15 - 1


class UnknownCluster(Unavailable):
    """There is no such cluster on this host."""


@dataclass(frozen=True)
class FrontAddress:
    """`path` is the Unix socket that takes hand-overs and cancel requests for the front's sessions."""

    front_id: FrontId
    cluster: str
    path: Path


class PlacementTable:
    """Sessions of a cluster go round its fronts in turn."""

    def __init__(self) -> None:
        self._clusters: dict[str, tuple[FrontAddress, ...]] = {}
        self._fronts: dict[FrontId, FrontAddress] = {}
        self._turn: dict[str, int] = {}

    def replace(self, cluster: str, fronts: Sequence[FrontAddress]) -> None:
        """What the host tells of a cluster replaces what it told before; no fronts: it sleeps or is gone."""
        for former in self._clusters.pop(cluster, ()):
            if self._fronts.get(former.front_id) == former:
                del self._fronts[former.front_id]
        if not fronts:
            self._turn.pop(cluster, None)
            return
        self._clusters[cluster] = tuple(fronts)
        for front in fronts:
            self._fronts[front.front_id] = front

    def forget(self) -> None:
        """The host is out of reach: what it told last may be wrong by now."""
        self._clusters.clear()
        self._fronts.clear()

    def choose(self, cluster: str) -> FrontAddress | None:
        """None when the cluster must be woken first."""
        fronts = self._clusters.get(cluster)
        if fronts is None:
            return None
        turn = self._turn.get(cluster, 0)
        self._turn[cluster] = turn + 1
        return fronts[turn % len(fronts)]

    def front(self, front_id: FrontId) -> FrontAddress | None:
        return self._fronts.get(front_id)

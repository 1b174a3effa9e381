"""What the scenarios share: seeds, printed so that a failure can be run again, and calm or violent circumstances."""

from __future__ import annotations

import os
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import Cluster, StartCluster
from tests.scenarios.faults import kills
from tests.scenarios.history import History

# Violent runs kill so many processes, at most.
KILLS = 12


@dataclass(frozen=True)
class Circumstances:
    """Every scenario runs twice: undisturbed, and with random processes killed."""

    seed: int
    is_calm: bool

    def around(self, cluster: Cluster, history: History[Any]) -> AbstractContextManager[object]:
        """To run the workload in; kills follow the commits of the history."""
        return nullcontext() if self.is_calm else kills(cluster, history, self.seed, KILLS)


@pytest.fixture
def seed() -> int:
    """SCENARIO_SEED=… repeats what the workers and the killer choose."""
    chosen = int(os.environ.get("SCENARIO_SEED") or random.randrange(2**32))
    print(f"SCENARIO_SEED={chosen}")
    return chosen


@pytest.fixture
def own_cluster(start_cluster: StartCluster) -> Cluster:
    """Two instances that this scenario may do anything to."""
    return start_cluster(instances=2)


@pytest.fixture(params=["calm", "kills"])
def circumstances(request: pytest.FixtureRequest, seed: int) -> Circumstances:
    return Circumstances(seed, is_calm=request.param == "calm")

"""One host with its front door for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.compatibility.front_door import FrontDoor
from tests.conftest import judge


@pytest.fixture(scope="session")
def shared_front_door() -> Iterator[FrontDoor]:
    cluster = Cluster(instances=1, options=("--spares", "1", "--clusters-max", "100"))
    try:
        cluster.start()
        yield FrontDoor(cluster)
        cluster.stop()
    finally:
        cluster.close()


@pytest.fixture
def front_door(shared_front_door: FrontDoor, request: pytest.FixtureRequest) -> Iterator[FrontDoor]:
    """Shared by all tests: do not kill anything."""
    yield shared_front_door
    judge(shared_front_door.cluster, request)

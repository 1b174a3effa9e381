"""Fronts on the shared cluster."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.integration.front.running_front import RunningFront, StartFront, find_postgres_socket

TABLE_NUMBERS = itertools.count(1)


@pytest.fixture
def start_front(cluster: Cluster) -> Iterator[StartFront]:
    """`start_front(backends_max=2)`: on the first instance. Nothing may go wrong in its log."""
    fronts: list[RunningFront] = []

    def start(instance: int = 1, places: Path | None = None, **settings: int) -> RunningFront:
        front = RunningFront(find_postgres_socket(cluster, instance), places, instance, **settings)
        fronts.append(front)
        return front

    try:
        yield start
        for front in fronts:
            assert not front.problems(), front.describe()
    finally:
        for front in fronts:
            front.close()


@pytest.fixture
def front(start_front: StartFront) -> RunningFront:
    """With two backends for everybody."""
    return start_front(backends_target=2, backends_max=2)


@pytest.fixture
def table(cluster: Cluster) -> Iterator[str]:
    """The name of an empty table (id int PRIMARY KEY, value text)."""
    name = f"front_test_{next(TABLE_NUMBERS)}"
    with cluster.connect() as connection:
        connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, value text)")  # type: ignore[arg-type]
    yield name
    with cluster.connect() as connection:
        connection.execute(f"DROP TABLE {name}")  # type: ignore[arg-type]

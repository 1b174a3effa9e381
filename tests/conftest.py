"""Fixtures that every test may use: clusters in a box, connections in a schema of one's own, stock PostgreSQL."""

from __future__ import annotations

import faulthandler
import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster import Cluster, Connection, StartCluster
from tests.examples import QUICK, QUICK_PERCENT
from tests.stock import StockServer

Connect = Callable[..., Connection]

FAILED = pytest.StashKey[bool]()

# Bound on the end of the threads of tests that are over.
THREADS_END_S = 60


# How long an example takes is the machine's business: on a busy one, a limit would fail tests that found nothing.
settings.register_profile("borealis", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(QUICK, settings.get_profile("borealis"), max_examples=QUICK_PERCENT)
settings.load_profile("borealis")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: no collection of garbage has to walk over it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """A thread that a hanging test has left behind must not keep the whole run from ending."""
    faulthandler.dump_traceback_later(THREADS_END_S, exit=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    if report.failed:
        item.stash[FAILED] = True
    return report  # type: ignore[return-value]


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    cluster = Cluster(instances=2)
    try:
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        cluster.close()


@pytest.fixture
def cluster(shared_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two instances, shared by all tests of the run: do not kill anything. Unexpected problems in its logs fail the
    test that they appear in."""
    yield shared_cluster
    judge(shared_cluster, request)


@pytest.fixture
def start_cluster(request: pytest.FixtureRequest) -> Iterator[StartCluster]:
    """Starts clusters for this test alone, to be killed at will: `start_cluster(instances=1)`."""
    clusters: list[Cluster] = []

    def start(instances: int = 2, options: tuple[str, ...] = (), **more: Any) -> Cluster:
        cluster = Cluster(instances, options, **more)
        clusters.append(cluster)
        cluster.start()
        return cluster

    try:
        yield start
        for cluster in clusters:
            judge(cluster, request)
    finally:
        for cluster in clusters:
            cluster.close()


def judge(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    problems = cluster.problems()
    if request.node.stash.get(FAILED, False):
        request.node.add_report_section("call", "cluster", cluster.describe("the test failed; the logs end so:"))
    elif problems:
        pytest.fail("\n".join(["unexpected in the logs (declare with expect_log):", *problems]), pytrace=False)


SCHEMA_NUMBERS = itertools.count(1)


@pytest.fixture
def connect(cluster: Cluster) -> Iterator[Connect]:
    """Opens connections of `admin` to the shared cluster, `connect(instance=2, autocommit=False)`, all in one schema
    that only this test uses; closes them and drops the schema."""
    schema = f"test_{next(SCHEMA_NUMBERS)}"
    opened: list[Connection] = []

    def open_connection(instance: int = 1, **options: object) -> Connection:
        connection = cluster.connect(instance, options=f"-csearch_path={schema}", **options)
        opened.append(connection)
        return connection

    with cluster.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")  # type: ignore[arg-type]
    yield open_connection
    for connection in opened:
        connection.close()
    with cluster.connect() as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def stock() -> Iterator[StockServer]:
    """Stock PostgreSQL 16, shared by all tests of the run."""
    server = StockServer()
    try:
        server.start()
        yield server
    finally:
        server.close()

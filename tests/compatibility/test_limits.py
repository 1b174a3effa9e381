"""The limits of a cluster hold for all of its instances together, and for each cluster by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import botocore.exceptions
import psycopg
import pytest

from tests.cluster import Cluster
from tests.compatibility.front_door import Endpoint, FrontDoor
from tests.conftest import judge

SESSIONS, BURST, CLUSTERS = 3, 8, 4


@pytest.fixture(scope="module")
def narrow_cluster() -> Iterator[Cluster]:
    options = ("--connection-limit", str(SESSIONS), "--connection-rate", "1", "--connection-burst", str(BURST))
    options = (*options, "--clusters-max", str(CLUSTERS))
    cluster = Cluster(instances=2, options=options)
    try:
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        cluster.close()


@pytest.fixture
def narrow_door(narrow_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[FrontDoor]:
    """Two instances for each cluster, and room for few sessions in all of them."""
    yield FrontDoor(narrow_cluster)
    judge(narrow_cluster, request)


def audited(door: FrontDoor) -> list[str]:
    """SQLSTATEs of the logins, in order."""
    path = door.cluster.data / "log" / "audit" / "relay.jsonl"
    return [json.loads(line)["status"] for line in path.read_text().splitlines()]


def front_of(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    return connection.info.backend_pid >> 16


def fill(door: FrontDoor, endpoint: Endpoint, opened: ExitStack) -> None:
    connections = [opened.enter_context(door.connect(endpoint)) for _ in range(SESSIONS)]
    assert len({front_of(connection) for connection in connections}) == 2
    with pytest.raises(psycopg.OperationalError, match=r"Unable to accept connection, too many open connections\.$"):
        door.connect(endpoint)


def test_sessions_at_a_time(narrow_door: FrontDoor) -> None:
    with ExitStack() as opened:
        fill(narrow_door, narrow_door.first, opened)
        assert audited(narrow_door)[-1] == "53300"
        fill(narrow_door, narrow_door.create(), opened)


def test_connections_in_a_while(narrow_door: FrontDoor) -> None:
    """Whoever is refused because there are too many counts as well; the other cluster has a burst of its own."""
    one, other = narrow_door.create(), narrow_door.create()
    token = narrow_door.token(one)
    told = ""
    while "rate exceeded" not in told:
        try:
            narrow_door.connect(one, token).close()
        except psycopg.OperationalError as error:
            told = str(error)
    assert "Unable to accept connection, rate exceeded." in told
    assert audited(narrow_door)[-1] == "53400"
    narrow_door.connect(other).close()


def test_clusters_of_an_account(narrow_door: FrontDoor) -> None:
    api = narrow_door.api()
    for _ in range(CLUSTERS - len(api.list_clusters()["clusters"])):
        api.create_cluster(deletionProtectionEnabled=False)
    with pytest.raises(botocore.exceptions.ClientError, match="You have reached the cluster limit") as refused:
        api.create_cluster(deletionProtectionEnabled=False)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 402
    assert len(api.list_clusters()["clusters"]) == CLUSTERS

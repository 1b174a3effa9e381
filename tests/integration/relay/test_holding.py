"""Sessions are held while their cluster is being made or woken: for a while, and not too many."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from borealis.clusters import Cluster, ClusterStatus
from tests.integration.relay.world import RelayWorld, told


@contextmanager
def opened(*options: str) -> Iterator[RelayWorld]:
    world = RelayWorld(options=options)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as executor:
        yield executor


def who_is_served(world: RelayWorld, cluster: Cluster, token: str) -> object:
    with world.connect(cluster, password=token) as connection:
        return told(connection)["cluster"]


def test_a_cluster_that_is_being_made_is_waited_for(clients: ThreadPoolExecutor) -> None:
    with opened() as world:
        creating = world.add_cluster(status=ClusterStatus.CREATING)
        token = world.token(creating)
        held = [clients.submit(who_is_served, world, creating, token) for _ in range(3)]
        for _ in held:
            assert world.front.wait_for("unknown") == f"unknown {creating.identifier}"
        # Others are served meanwhile.
        assert who_is_served(world, world.cluster, world.token()) == world.cluster.identifier
        assert not any(client.done() for client in held)
        world.front.tell(f"make {creating.identifier}")
        assert [client.result() for client in held] == [creating.identifier] * 3


@pytest.mark.parametrize("command", ["sleep", "stall"])
def test_a_session_does_not_wait_for_ever(command: str) -> None:
    with opened("--hold-seconds", "0.5") as world:
        creating = world.add_cluster(status=ClusterStatus.CREATING)
        error = str(world.refusal(creating))
        assert "FATAL:  server unavailable" in error
        assert "The cluster is CREATING." in error
        assert world.audit()[-1]["status"] == "XX000"
        world.front.tell(command)
        world.front.wait_for("sessions")
        if command == "sleep":
            assert who_is_served(world, world.cluster, world.token()) == world.cluster.identifier
        else:
            error = str(world.refusal())
            assert "FATAL:  unable to accept connection, waking up cluster, please retry later" in error
            assert world.audit()[-1]["status"] == "08006"


def test_not_too_many_wait(clients: ThreadPoolExecutor) -> None:
    with opened("--held-max", "2") as world:
        creating = world.add_cluster(status=ClusterStatus.CREATING)
        token = world.token(creating)
        held: list[Future[object]] = [clients.submit(who_is_served, world, creating, token) for _ in range(2)]
        for _ in held:
            world.front.wait_for("unknown")
        assert "The cluster is CREATING." in str(world.refusal(creating, password=token))
        # Those whose cluster is awake wait for nobody.
        assert who_is_served(world, world.cluster, world.token()) == world.cluster.identifier
        world.front.tell(f"make {creating.identifier}")
        assert [client.result() for client in held] == [creating.identifier] * 2
        assert who_is_served(world, creating, token) == creating.identifier


def test_a_client_that_went_away_while_it_was_held_hurts_nobody(clients: ThreadPoolExecutor) -> None:
    with opened() as world:
        creating = world.add_cluster(status=ClusterStatus.CREATING)
        token = world.token(creating)
        impatient = clients.submit(world.refusal, creating, password=token, connect_timeout=2)
        world.front.wait_for("unknown")
        assert isinstance(impatient.result(), psycopg.OperationalError)
        world.front.tell(f"make {creating.identifier}")
        assert who_is_served(world, creating, token) == creating.identifier

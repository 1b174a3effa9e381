"""Many clusters on one host: created, put to sleep, woken and deleted over the host's control socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from borealis.clusters.names import ClusterIdentifier, make_identifier
from borealis.foundation.errors import Unavailable
from borealis.host.account import NOBODY
from borealis.host.cluster_programs import SOCKET_PORT
from borealis.host.layout import open_layout
from borealis.host.report import read_report
from borealis.placement import ClusterState, UnknownCluster
from borealis.placement.host_client import HostClient
from borealis.placement.messages import Fields
from borealis.placement.placement import Placement
from borealis.placement.table import FrontAddress
from tests.cluster import EVENT_S, Cluster, Connection, StartCluster

Result = TypeVar("Result")


@pytest.fixture
def host(start_cluster: StartCluster) -> Cluster:
    return start_cluster(instances=1)


def order(host: Cluster, what: Callable[[HostClient], Awaitable[Result]]) -> Result:
    async def give() -> Result:
        client = HostClient(open_layout(host.data).host_socket)
        try:
            return await asyncio.wait_for(what(client), EVENT_S)
        finally:
            await client.close()

    return asyncio.run(give())


def connect(host: Cluster, cluster: str) -> Connection:
    folder = open_layout(host.data).cluster(ClusterIdentifier(cluster)).instance(1).socket
    return psycopg.connect(host=str(folder), port=SOCKET_PORT, user="admin", dbname="postgres", autocommit=True)


def state(host: Cluster, cluster: str) -> ClusterState | None:
    found = order(host, lambda client: client.list())
    return next((each.state for each in found if each.cluster == cluster), None)


def process_ids(host: Cluster, cluster: str) -> list[int]:
    report = read_report(open_layout(host.data))
    assert report is not None
    return [process.process_id for process in report.of(cluster) if process.process_id is not None]


def test_clusters_never_see_each_other(host: Cluster) -> None:
    names = [order(host, lambda client: client.create()) for _ in range(2)]
    assert len({*names, host.directory.identifier}) == 3
    for number, name in enumerate(names):
        with connect(host, name) as connection:
            connection.execute("CREATE TABLE mine (number int)")
            connection.execute("INSERT INTO mine VALUES (%s)", [number])
    for number, name in enumerate(names):
        with connect(host, name) as connection:
            assert connection.execute("SELECT number FROM mine").fetchall() == [(number,)]
    with host.connect() as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_a_cluster_that_sleeps_has_no_processes_and_keeps_its_data(host: Cluster) -> None:
    name = order(host, lambda client: client.create())
    with connect(host, name) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
        connection.execute("INSERT INTO kept VALUES (1)")
    running = process_ids(host, name)
    assert running
    order(host, lambda client: client.stop(name))
    assert not any(Path(f"/proc/{process}").exists() for process in running)
    assert state(host, name) is ClusterState.ASLEEP
    assert order(host, lambda client: client.start(name))
    with connect(host, name) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_a_deleted_cluster_leaves_nothing(host: Cluster) -> None:
    name = order(host, lambda client: client.create())
    directory = open_layout(host.data).cluster(ClusterIdentifier(name))
    assert directory.root.exists()
    order(host, lambda client: client.delete(name))
    assert not directory.root.exists()
    assert not directory.run.exists()
    assert state(host, name) is None
    with pytest.raises(UnknownCluster):
        order(host, lambda client: client.start(name))
    order(host, lambda client: client.delete(name))


def test_clusters_come_back_on_demand_after_a_restart(host: Cluster) -> None:
    name = order(host, lambda client: client.create())
    with connect(host, name) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
    host.stop()
    host.start()
    assert state(host, name) is ClusterState.ASLEEP
    assert state(host, host.directory.identifier) is ClusterState.AWAKE
    order(host, lambda client: client.start(name))
    with connect(host, name) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_cluster_that_cannot_start_says_why_and_ends_nobody(host: Cluster) -> None:
    name = order(host, lambda client: client.create())
    order(host, lambda client: client.stop(name))
    journal = open_layout(host.data).cluster(ClusterIdentifier(name)).root / "journal" / "zone-1"
    journal.chmod(0)
    host.expect_log("Permission denied|CRITICAL|Traceback")
    with pytest.raises(Unavailable, match="transactions could not start"):
        order(host, lambda client: client.start(name))
    with host.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    journal.chmod(0o700)
    assert order(host, lambda client: client.start(name))


def test_a_spare_is_given_away_by_name_and_replaced(start_cluster: StartCluster) -> None:
    host = start_cluster(instances=1, options=("--spares", "1"))

    async def take_spare(client: HostClient) -> tuple[str, str]:
        while not (ahead := await client.ahead()):
            await asyncio.sleep(0.01)
        taken = await client.create(ahead[0])
        while not (following := await client.ahead()):
            await asyncio.sleep(0.01)
        return taken, following[0]

    taken, following = order(host, take_spare)
    assert state(host, taken) is ClusterState.AWAKE
    assert state(host, following) is None
    with connect(host, taken) as connection:
        connection.execute("CREATE TABLE used (id int)")
    host.stop()
    host.start()
    found = {each.cluster for each in order(host, lambda client: client.list())}
    assert found == {taken, host.directory.identifier}


class Recording(Placement):
    """Remembers what could be found after each event: a front may be back before anybody has looked."""

    def __init__(self, host_socket: Path) -> None:
        super().__init__(host_socket)
        self.found: list[FrontAddress | None] = []

    def _take_event(self, fields: Fields) -> None:
        super()._take_event(fields)
        self.found.append(self.find(ClusterIdentifier(str(fields["cluster"]))))


def test_placement_knows_fronts_from_memory_and_hears_of_changes(host: Cluster) -> None:
    first = host.directory.identifier

    async def follow() -> None:
        async with Recording(open_layout(host.data).host_socket) as placement:
            address = await placement.start(first)
            assert address.cluster == first
            assert placement.front(address.front_id) == address
            host.kill_only("front-1")
            while None not in placement.found:
                await asyncio.sleep(0.005)
            # Held until the front is back, under its id of before.
            assert await placement.start(first) == address
            assert placement.find(first) == address
            with pytest.raises(UnknownCluster):
                await placement.start(make_identifier())

    asyncio.run(asyncio.wait_for(follow(), EVENT_S))


def test_hostile_peers_lose_their_connection_and_nothing_else_happens(host: Cluster) -> None:
    path = str(open_layout(host.data).host_socket)
    for hostile in (b"\n", b"garbage\n", b'{"id":1,"do":"delete","cluster":"../journal"}\n', b"x" * 100_000):
        with closing(socket.socket(socket.AF_UNIX)) as peer:
            peer.settimeout(EVENT_S)
            peer.connect(path)
            # Reset, when it had not read everything that it turned away.
            with suppress(ConnectionResetError, BrokenPipeError):
                peer.sendall(hostile)
                while peer.recv(65536):
                    pass
    assert state(host, host.directory.identifier) is ClusterState.AWAKE


def test_names_are_kept_in_a_hosts_file_for_as_long_as_they_are_good(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n")
    host = start_cluster(instances=1, options=("--hosts", str(file), "--region", "eu-west-1"))
    first = f"127.0.0.1 {host.directory.identifier}.dsql.eu-west-1.localhost\n"
    assert first in file.read_text()
    name = order(host, lambda client: client.create())
    assert f"127.0.0.1 {name}.dsql.eu-west-1.localhost\n" in file.read_text()
    order(host, lambda client: client.delete(name))
    assert name not in file.read_text()
    assert first in file.read_text()
    host.stop()
    assert file.read_text() == "127.0.0.1 localhost\n"


def test_a_cluster_without_sessions_falls_asleep(start_cluster: StartCluster) -> None:
    host = start_cluster(instances=1, options=("--sleep-after", "1"))
    name = order(host, lambda client: client.create())

    async def until_asleep(client: HostClient) -> None:
        while next(each.state for each in await client.list() if each.cluster == name) is not ClusterState.ASLEEP:
            await asyncio.sleep(0.02)

    order(host, until_asleep)
    assert process_ids(host, name) == []
    # Its clients on the direct port are not seen by fronts.
    assert state(host, host.directory.identifier) is ClusterState.AWAKE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_strangers_are_not_listened_to(host: Cluster) -> None:
    layout = open_layout(host.data)
    # Even where somebody has opened the folders.
    for folder in (host.data, layout.run):
        folder.chmod(0o755)
    layout.host_socket.chmod(0o666)
    assert ask_as(NOBODY, layout.host_socket).startswith(b'{"id":1,"clusters":')
    assert ask_as(NOBODY - 1, layout.host_socket) == b""


def ask_as(user: int, path: Path) -> bytes:
    """What the host answers a process of this user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            with closing(socket.socket(socket.AF_UNIX)) as peer:
                peer.settimeout(EVENT_S)
                peer.connect(str(path))
                with suppress(ConnectionResetError, BrokenPipeError):
                    peer.sendall(b'{"id":1,"do":"list"}\n')
                    os.write(writer, peer.recv(4096))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        received = answer.read()
    os.waitpid(child, 0)
    return received


def test_the_host_ends_in_order_with_a_cluster_that_does_not(host: Cluster) -> None:
    """A stopped process does not hear a polite request; the others must not wait for it for ever."""
    name = order(host, lambda client: client.create())
    report = read_report(open_layout(host.data))
    assert report is not None
    front = next(each.process_id for each in report.of(name) if each.name == "front-1")
    assert front is not None
    os.kill(front, signal.SIGSTOP)
    host.stop()

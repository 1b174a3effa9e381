"""A relay whose own host does not have the cluster: another host's gateway takes its sessions."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from borealis.clusters import Cluster
from tests.certificates import Authority
from tests.integration.relay.test_login import log_in
from tests.integration.relay.test_memory import SESSIONS, connect
from tests.integration.relay.world import RelayWorld, told
from tests.integration.tls.process_memory import find_in_memory
from tests.integration.tls.test_memory import secrets_of
from tests.integration.waiting import wait_until


class Fleet:
    """A relay, and a gateway to a front that its host does not know of."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "fleet")
        self._far, near = self.authority.issue("far.host"), self.authority.issue("near.host", purpose="client")
        self.world = RelayWorld(clusters=1)
        self.gateway = self.start_gateway()
        assert self.gateway.stdout is not None
        port = self.gateway.stdout.readline().strip()
        assert self.world.relay.stop() == 0
        self.world.relay = self.world.start_relay(
            f"--gateway=far.host=127.0.0.1:{port}",
            f"--fleet-certificate={near.chain}",
            f"--fleet-private-key={near.key}",
            f"--fleet-authority={self.authority.certificate}",
        )

    def start_gateway(self) -> subprocess.Popen[str]:
        front = self.world.data / "run" / "front.sock"
        command = [sys.executable, "-m", "tests.integration.tls.gateway", front]
        files = (self._far.chain, self._far.key, self.authority.certificate)
        return subprocess.Popen([*command, *files], stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        self.world.close()
        self.gateway.kill()
        self.gateway.wait()
        assert self.gateway.stdout is not None
        self.gateway.stdout.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def far(fleet: Fleet) -> Cluster:
    """A cluster that the relay's host does not know."""
    return fleet.world.add_cluster()


def test_sessions_of_other_hosts_work_like_those_of_ones_own(fleet: Fleet, far: Cluster) -> None:
    world = fleet.world
    with world.connect(far) as connection, world.connect() as near:
        assert told(connection)["cluster"] == far.identifier
        assert told(near)["cluster"] == world.cluster.identifier
        for _ in range(50):
            assert told(connection)["user"] == "admin"
        connection.cancel()
        world.front.wait_for("canceled")
        assert told(connection)["canceled"]  # once for each way: here both hosts have the same front
        world.front.tell("refuse 28000 role is not mapped")
        world.front.wait_for("sessions")
        assert "FATAL:  role is not mapped" in str(world.refusal(far))
        assert told(connection)["user"] == "admin"


def test_a_gateway_that_is_gone_takes_its_sessions_and_nothing_else(fleet: Fleet, far: Cluster) -> None:
    world = fleet.world
    with world.connect() as near:
        with world.connect(far) as connection:
            assert told(connection)["cluster"] == far.identifier
            fleet.gateway.send_signal(signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                told(connection)
        assert "access denied" in str(world.refusal(far))
        assert told(near)["user"] == "admin"
    wait_until(lambda: world.descriptors() < 40, "nothing is left of the sessions")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_relay_forwards_what_it_cannot_read(fleet: Fleet, far: Cluster, tmp_path: Path) -> None:
    world = fleet.world
    token = world.token(far)
    with ExitStack() as stack:
        secrets: dict[str, bytes] = {}
        for number in range(SESSIONS):
            key_log = tmp_path / str(number)
            client = stack.enter_context(connect(world, ssl.TLSVersion.TLSv1_3, key_log, far))
            log_in(world, client, token)
            client.sendall(b"Q\0\0\0\x0dSELECT 1\0")
            assert client.recv(2**14)
            secrets |= {f"session {number}: {name}": secret for name, secret in secrets_of(key_log).items()}
        assert find_in_memory(world.relay.process.pid, secrets) == set()

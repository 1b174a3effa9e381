"""What the relay's process knows of the keys of sessions that it has handed over: nothing."""

from __future__ import annotations

import ssl
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from borealis.clusters import Cluster
from tests.integration.relay.test_login import log_in
from tests.integration.relay.world import RelayWorld, packet
from tests.integration.tls.process_memory import find_in_memory
from tests.integration.tls.test_memory import secrets_of
from tests.integration.waiting import wait_until

TLS_REQUEST = bytes.fromhex("00000008 04d2162f")
SESSIONS = 12


def connect(world: RelayWorld, version: ssl.TLSVersion, key_log: Path, cluster: Cluster | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=world.authority.certificate)
    context.minimum_version = context.maximum_version = version
    context.keylog_filename = str(key_log)
    connection = world.raw()
    connection.sendall(TLS_REQUEST)
    assert connection.recv(1) == b"S"
    return context.wrap_socket(connection, server_hostname=str((cluster or world.cluster).endpoint))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_the_secrets_of_sessions_that_were_handed_over_are_gone(
    world: RelayWorld, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    process = world.relay.process.pid
    token = world.token()
    with ExitStack() as stack:
        secrets: dict[str, bytes] = {}
        world.connect(password=token).close()  # whatever the relay opens once is open
        before = world.descriptors()
        for number in range(SESSIONS):
            key_log = tmp_path / str(number)
            client = stack.enter_context(connect(world, version, key_log))
            log_in(world, client, token)
            client.sendall(b"Q\0\0\0\x0dSELECT 1\0")
            assert client.recv(2**14)
            secrets |= {f"session {number}: {name}": secret for name, secret in secrets_of(key_log).items()}
        wait_until(lambda: world.descriptors() <= before + 1, "the relay has let go of the sessions")
        assert len(secrets) >= SESSIONS
        assert find_in_memory(process, secrets) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_search_finds_what_is_there(world: RelayWorld, tmp_path: Path) -> None:
    """A session on its way in: what the relay reads and writes with it is in its memory now."""
    with connect(world, ssl.TLSVersion.TLSv1_3, tmp_path / "log") as client:
        client.sendall(packet("user", "admin", "database", "postgres"))
        assert client.recv(100) == b"R\0\0\0\x08\0\0\0\x03"
        found = find_in_memory(world.relay.process.pid, secrets_of(tmp_path / "log"))
        assert any("TRAFFIC_SECRET_0" in name for name in found)

"""What a relay knows of a session that it has handed over: nothing."""

from __future__ import annotations

import array
import hashlib
import hmac
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from borealis.tls import TlsSession
from tests.certificates import Authority
from tests.integration.tls.process_memory import find_in_memory

HOST = "localhost"
KEY_BYTES = {0x1301: 16, 0x1302: 32, 0x1303: 32}


class Relay:
    """The process, and the end of its orders."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        certificate = authority.issue(HOST)
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.integration.tls.relay_process"]
        self.process = subprocess.Popen(
            [*command, certificate.chain, certificate.key, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()

    def run(self, order: bytes, version: ssl.TLSVersion, key_log: Path) -> tuple[bytes, ssl.SSLSocket, socket.socket]:
        """A client's whole way through the relay: the TLS state, and both ends of the connection."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.minimum_version = context.maximum_version = version
        context.keylog_filename = str(key_log)
        ours, theirs = socket.socketpair()
        descriptor = array.array("i", [theirs.fileno()])
        self.orders.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
        client = context.wrap_socket(ours, server_hostname=HOST)
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        state = self.orders.recv(2**16)
        assert self.orders.recv(2**16) == b"done"
        return state, client, theirs


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(Authority(tmp_path))
    try:
        yield relay
    finally:
        relay.orders.close()
        assert relay.process.wait(10) == 0


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def secrets_of(key_log: Path) -> dict[str, bytes]:
    """Every secret of the log, as bytes and as the text in which OpenSSL logs it."""
    secrets = {}
    for number, line in enumerate(key_log.read_text().splitlines()):
        if line.startswith("#"):
            continue
        label, _, text = line.split()
        secrets[f"{number} {label}"] = bytes.fromhex(text)
        secrets[f"{number} {label} as text"] = text.lower().encode()
        secrets[f"{number} {label} as upper text"] = text.upper().encode()
    return secrets


def keys_of(state: bytes) -> dict[str, bytes]:
    """The traffic keys, and the state's secrets themselves."""
    version, suite = int.from_bytes(state[:2], "little"), int.from_bytes(state[2:4], "little")
    halves = {"read": state[32:96], "write": state[96:160]}
    if version == 0x0303:
        return {f"{name} key": half[: 32 if suite in (0xC02C, 0xC030) else 16] for name, half in halves.items()}
    hash_bytes = 48 if suite == 0x1302 else 32
    info = KEY_BYTES[suite].to_bytes(2, "big") + bytes([9]) + b"tls13 key" + b"\0\1"
    algorithm = hashlib.sha384 if suite == 0x1302 else hashlib.sha256
    return {
        f"{name} key": hmac.digest(half[:hash_bytes], info, algorithm)[: KEY_BYTES[suite]]
        for name, half in halves.items()
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_nothing_is_left_of_a_session_that_was_handed_over(
    version: ssl.TLSVersion, relay: Relay, tmp_path: Path, clients: ExitStack
) -> None:
    kept, *ends = relay.run(b"keep", version, tmp_path / "kept")
    for end in ends:
        clients.enter_context(end)
    # That the search finds what is there: the relay still has this session.
    control = {f"kept session: {name}": key for name, key in keys_of(kept).items()}
    secrets: dict[str, bytes] = {}
    for number in range(8):
        key_log = tmp_path / f"handed-over-{number}"
        state, client, front = relay.run(b"hand over", version, key_log)
        clients.enter_context(client)
        clients.enter_context(front)
        found = secrets_of(key_log) | keys_of(state)
        secrets |= {f"session {number}: {name}": secret for name, secret in found.items()}
        assert find_in_memory(relay.process.pid, control | secrets) == set(control)
        session = TlsSession.adopt(bytearray(state))
        client.sendall(b"to the front")
        assert session.decrypt(front.recv(2**16)) == b"to the front"

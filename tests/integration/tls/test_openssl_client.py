"""OpenSSL's own client: every suite, and new keys in the middle of a session."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.tls.hosts import HOST, Hosts

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not installed")


class Client:
    """`openssl s_client`, one line after the other."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.everything_seen = ""

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def wait_for(self, text: str) -> str:
        assert self._process.stdout is not None
        seen = b""
        while text.encode() not in seen:
            piece = self._process.stdout.read1(1000)  # type: ignore[attr-defined]
            assert piece, seen
            seen += piece
        self.everything_seen += seen.decode()
        return seen.decode()


@contextmanager
def connect(hosts: Hosts, *options: str) -> Iterator[Client]:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{hosts.port}",
        "-CAfile",
        str(hosts.authority.certificate),
    ]
    process = subprocess.Popen(
        [*command, "-verify_return_error", "-verify_hostname", HOST, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("style", ["starttls", "direct"])
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_keys_change_in_the_middle(echo: Hosts, suite: str, style: str) -> None:
    options = ["-starttls", "postgres"] if style == "starttls" else ["-alpn", "postgresql"]
    with connect(echo, "-tls1_3", "-ciphersuites", suite, *options) as client:
        assert suite in client.wait_for("Verify return code: 0 (ok)")
        for number, order in enumerate(["k", "K", "k", "K", "K"]):
            client.say(f"line {number}")
            client.wait_for(f"line {number}\n")
            client.say(order)
            client.wait_for("KEYUPDATE")
        client.say("the last line")
        client.wait_for("the last line\n")
        client.say("Q")


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_keys_change_as_the_server_wants_it(suite: str) -> None:
    """In both directions: it changes its own, and asks for the client's."""
    with (
        Hosts("rekey", is_remote=False) as hosts,
        connect(hosts, "-tls1_3", "-ciphersuites", suite, "-alpn", "postgresql", "-msg") as client,
    ):
        client.wait_for("Verify return code: 0 (ok)")
        for number in range(10):
            client.say(f"line {number}")
            client.wait_for(f"line {number}\n")
        client.say("Q")
        seen = client.everything_seen
    assert seen.count("<<< TLS 1.3, Handshake [length 0005], KeyUpdate") >= 4
    assert seen.count(">>> TLS 1.3, Handshake [length 0005], KeyUpdate") >= 4


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"])
def test_tls_1_2_goes_on_and_negotiates_nothing_anew(echo: Hosts, suite: str) -> None:
    suite = f"ECDHE-ECDSA-{suite}"
    with connect(echo, "-tls1_2", "-cipher", suite, "-starttls", "postgres") as client:
        assert suite in client.wait_for("Verify return code: 0 (ok)")
        client.say("a line")
        client.wait_for("a line\n")
        client.say("Q")

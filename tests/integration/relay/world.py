"""A relay as a process of its own, with an IAM store and clusters, and a tiny front behind it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
from botocore.session import Session as BotocoreSession

from benchmarks.crowd import Crowd
from borealis.clusters import Cluster, ClusterStatus, Installation
from borealis.clusters.names import make_identifier
from borealis.clusters.store import ClusterStore
from borealis.foundation.identifiers import Timestamp
from borealis.iam import IamStore
from tests.certificates import Authority, Certificate

ACCOUNT, REGION, DOMAIN = "000000000000", "us-east-1", "localhost"
TINY_FRONT = Path(__file__).with_name("tiny_front.py")
START_S = 30


def now() -> Timestamp:
    return Timestamp(time.time_ns())


class Program:
    """A process that says `ready`, and what it says before and after."""

    def __init__(self, arguments: list[str], log: Path, before: Callable[[], None] | None = None) -> None:
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=before,
            )
        self.before_ready: list[str] = []
        while (line := self.read_line()) != "ready":
            self.before_ready.append(line)

    def read_line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"{self.process.args} has ended with {self.process.wait()}")
        return line.decode().rstrip("\n")

    def wait_for(self, beginning: str) -> str:
        """The next line that begins so."""
        while not (line := self.read_line()).startswith(beginning):
            pass
        return line

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return self.process.wait(START_S)


class RelayWorld:
    def __init__(self, clusters: int = 2, options: tuple[str, ...] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="borealis-relay-")
        self.data = Path(self._folder.name)
        for name in ("run", "control", "certificates", "log"):
            (self.data / name).mkdir()
        self.authority = Authority(self.data / "certificates", "ca")
        self.install_certificate(self.authority.issue(f"*.dsql.{REGION}.{DOMAIN}"))
        self.iam = IamStore.open(self.data / "control", secrets.token_bytes)
        self.iam.install(ACCOUNT, now())
        self.cluster_store = ClusterStore(
            self.data / "control" / "clusters.sqlite", Installation(ACCOUNT, REGION, DOMAIN)
        )
        self.clusters = [self.add_cluster() for _ in range(clusters)]
        self.front = self.start_front()
        self.relay = self.start_relay(*options)

    def start_front(self) -> Program:
        return Program(
            [str(TINY_FRONT), str(self.data / "run"), *(cluster.identifier for cluster in self.clusters)],
            self.data / "log" / "front.log",
        )

    def start_relay(self, *options: str, before: Callable[[], None] | None = None) -> Program:
        """`before` runs in the process before it becomes the relay. Options that come later win."""
        relay = Program(
            ["-m", "borealis.relay", "--data", str(self.data), "--port", "0", *options],
            self.data / "log" / "relay.log",
            before,
        )
        self.port = int(relay.before_ready[-1].removeprefix("port "))
        return relay

    def install_certificate(self, certificate: Certificate) -> None:
        for source, name in ((certificate.chain, "server.pem"), (certificate.key, "server.key")):
            partial = self.data / "certificates" / f"{name}.partial"
            partial.write_bytes(source.read_bytes())
            partial.rename(self.data / "certificates" / name)

    def add_cluster(self, **changes: object) -> Cluster:
        cluster = Cluster(
            identifier=make_identifier(),
            account=ACCOUNT,
            region=REGION,
            domain=DOMAIN,
            status=ClusterStatus.ACTIVE,
            creation_time=now(),
            deletion_protection=False,
            tags={"Team": "blue"},
        )
        cluster = replace(cluster, **changes)  # type: ignore[arg-type]
        with self.cluster_store.transaction():
            self.cluster_store.add(cluster)
        return cluster

    @property
    def cluster(self) -> Cluster:
        return self.clusters[0]

    # Tokens

    def administrator(self) -> tuple[str, str]:
        key = self.iam.administrator_key()
        return key.id, key.secret.reveal()

    def token(
        self,
        cluster: Cluster | None = None,
        *,
        user: str = "admin",
        key: tuple[str, str] | None = None,
        seconds: int = 900,
        region: str = REGION,
    ) -> str:
        """As botocore makes it."""
        session = BotocoreSession()
        session.set_credentials(*(key or self.administrator()))
        client = session.create_client("dsql", region_name=region)
        make = client.generate_db_connect_admin_auth_token if user == "admin" else client.generate_db_connect_auth_token
        return str(make(str((cluster or self.cluster).endpoint), region, seconds))

    # Clients

    def conninfo(self, cluster: Cluster | None = None, user: str = "admin", **more: object) -> dict[str, object]:
        return {
            "host": str((cluster or self.cluster).endpoint),
            "hostaddr": "127.0.0.1",
            "port": self.port,
            "user": user,
            "dbname": "postgres",
            "sslmode": "verify-full",
            "sslrootcert": str(self.authority.certificate),
            "connect_timeout": 30,
        } | more

    def connect(self, cluster: Cluster | None = None, user: str = "admin", **more: object) -> psycopg.Connection:
        if "password" not in more:
            more["password"] = self.token(cluster, user=user)
        conninfo = self.conninfo(cluster, user, **more)
        return psycopg.connect(autocommit=True, prepare_threshold=None, **conninfo)  # type: ignore[arg-type]

    def crowd(self) -> Crowd:
        return Crowd(str(self.cluster.endpoint), self.port, self.authority.certificate, self.token())

    def refusal(self, cluster: Cluster | None = None, user: str = "admin", **more: object) -> psycopg.OperationalError:
        try:
            self.connect(cluster, user, **more).close()
        except psycopg.OperationalError as error:
            return error
        raise AssertionError("the client was let in")

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def tls(
        self, server_name: str | None = None, *, is_direct: bool = False, version: ssl.TLSVersion | None = None
    ) -> ssl.SSLSocket:
        """A TLS connection of Python's ssl; no server name at all if it is ""."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.check_hostname = False
        if version is not None:
            context.minimum_version = context.maximum_version = version
        connection = self.raw()
        if is_direct:
            context.set_alpn_protocols(["postgresql"])
        else:
            connection.sendall(bytes.fromhex("00000008 04d2162f"))
            assert connection.recv(1) == b"S"
        name = str(self.cluster.endpoint) if server_name is None else server_name
        return context.wrap_socket(connection, server_hostname=name or None)

    # What can be seen of the relay

    def audit(self) -> list[dict[str, str]]:
        path = self.data / "log" / "audit" / "relay.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.relay.process.pid}/fd"))

    def resident_bytes(self) -> int:
        for line in Path(f"/proc/{self.relay.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ValueError("no VmRSS")

    def close(self) -> None:
        self.relay.stop()
        self.front.stop()
        self.cluster_store.close()
        self.iam.close()
        self._folder.cleanup()


def told(connection: psycopg.Connection) -> dict[str, object]:
    """What the front was told about the session."""
    row = connection.execute("SELECT 1").fetchone()
    assert row is not None
    return dict(json.loads(row[0]))


def packet(*texts: str, version: int = 3 << 16) -> bytes:
    body = b"".join(text.encode() + b"\0" for text in texts) + b"\0"
    return (len(body) + 8).to_bytes(4, "big") + version.to_bytes(4, "big") + body


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(2**16):
        parts.append(part)
    return b"".join(parts)


def error_response(sqlstate: str, text: str, **more: str) -> bytes:
    """Byte for byte; `detail` and `hint` behind the message."""
    letters = {"detail": "D", "hint": "H"}
    fields = [
        "SFATAL",
        "VFATAL",
        f"C{sqlstate}",
        f"M{text}",
        *(letters[name] + more[name] for name in letters if name in more),
    ]
    body = b"".join(field.encode() + b"\0" for field in fields) + b"\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body

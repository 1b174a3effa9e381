"""The front door as a user has it: what `borealis env` says, and clients made from nothing else.

Names of clusters are not known to every machine's resolver: `libpq` variables bring the address along, for other
clients `resolving` stands in for the line in a hosts file.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.client
import psycopg

from borealis.host.layout import open_layout
from borealis.placement.host_client import HostClient
from tests.cluster import Cluster, Connection
from tests.integration.control.clusters import wait_active

# A psql that was built with TLS; the wheel's is not.
PSQL = "psql"


@dataclass(frozen=True)
class Endpoint:
    identifier: str
    host: str


class FrontDoor:
    def __init__(self, cluster: Cluster, left_over: Mapping[str, str] | None = None) -> None:
        """`left_over` is in the environment before."""
        self.cluster = cluster
        self.environment = self._ask_environment(left_over or {})
        self.region = self.environment["AWS_REGION"]
        self.first = Endpoint(self.environment["CLUSTER_ID"], self.environment["CLUSTER_ENDPOINT"])

    def command(self, *arguments: str) -> str:
        """What `borealis` prints."""
        command = [sys.executable, "-m", "borealis.cli", *arguments, "--data", str(self.cluster.data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _ask_environment(self, left_over: Mapping[str, str]) -> dict[str, str]:
        """Ours with what a shell makes of `borealis env`."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PG"))}
        clean |= left_over
        shell = ["/bin/sh", "-c", 'eval "$1" && env -0', "sh", self.command("env")]
        done = subprocess.run(shell, env=clean, capture_output=True, text=True, check=True)
        return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)

    def api(self, access_key: str | None = None, secret: str | None = None) -> Any:
        """A boto3 client for DSQL; of the administrator, unless a key is given."""
        return boto3.session.Session().client(
            "dsql",
            region_name=self.region,
            endpoint_url=self.environment["AWS_ENDPOINT_URL_DSQL"],
            verify=self.environment["AWS_CA_BUNDLE"],
            aws_access_key_id=access_key or self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret or self.environment["AWS_SECRET_ACCESS_KEY"],
            config=botocore.client.Config(retries={"total_max_attempts": 1}),
        )

    def create(self) -> Endpoint:
        """A new cluster, once it is ACTIVE."""
        api = self.api()
        created = api.create_cluster(deletionProtectionEnabled=False)
        wait_active(api, created["identifier"])
        return Endpoint(created["identifier"], created["endpoint"])

    def stop_cluster(self, endpoint: Endpoint) -> None:
        """Puts it to sleep, as a long time without a session does."""

        async def stop() -> None:
            host = HostClient(open_layout(self.cluster.data).host_socket)
            await host.stop(endpoint.identifier)
            await host.close()

        asyncio.run(stop())

    def token(self, endpoint: Endpoint, api: Any = None) -> str:
        token: str = (api or self.api()).generate_db_connect_admin_auth_token(endpoint.host, self.region)
        return token

    def parameters(self, endpoint: Endpoint, token: str | None = None) -> dict[str, str]:
        """Connection parameters of libpq."""
        return {
            "host": endpoint.host,
            "hostaddr": "127.0.0.1",
            "port": self.environment["PGPORT"],
            "user": "admin",
            "dbname": "postgres",
            "password": token if token is not None else self.token(endpoint),
            "sslmode": "verify-full",
            "sslrootcert": self.environment["PGSSLROOTCERT"],
            "connect_timeout": "30",
        }

    def connect(self, endpoint: Endpoint, token: str | None = None, **more: str) -> Connection:
        return psycopg.connect(**{**self.parameters(endpoint, token), **more}, autocommit=True)  # type: ignore[arg-type]

    @contextmanager
    def resolving(self) -> Iterator[None]:
        """Inside, this process finds every endpoint and the API on loopback, as it does with `borealis up --hosts`."""
        found = socket.getaddrinfo
        service = self.first.host.removeprefix(f"{self.first.identifier}.")

        def find(host: Any, *arguments: Any, **named: Any) -> Any:
            is_ours = isinstance(host, str) and host.endswith(service)
            return found("127.0.0.1" if is_ours else host, *arguments, **named)

        socket.getaddrinfo = find
        try:
            yield
        finally:
            socket.getaddrinfo = found

"""`borealis psql`: the wheel's psql, on an instance of a cluster, which is woken for it."""

import argparse
import asyncio
import os
from pathlib import Path

from borealis.clusters.names import ClusterIdentifier, InvalidName, parse_identifier
from borealis.foundation.errors import Unavailable
from borealis.host.layout import open_layout
from borealis.host.postgres_settings import ADMIN, DATABASE
from borealis.host.report import read_report
from borealis.host.server_tree import find_postgres
from borealis.placement.host_client import HostClient

# Where Linux distributions keep what readline needs to know of terminals; the wheel's copy was built for one of them.
TERMINFO_DIRS = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo")

# What libpq takes from the environment about where and how to connect, such as all that `borealis env` sets.
CONNECTION_VARIABLES = (
    *("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASS", "PGSERVICE", "PGSSL", "PGGSS", "PGKRB"),
    *("PGREQUIRE", "PGCHANNELBINDING", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS"),
)


def psql(options: argparse.Namespace) -> int:
    directory = open_layout(options.data)
    report = read_report(directory)
    if report is None:
        raise Unavailable(f"nothing runs on {options.data}; start it with borealis up --data {options.data}")
    cluster = options.cluster or report.first_cluster
    if cluster is not None:
        try:
            asyncio.run(_wake(directory.host_socket, parse_identifier(cluster)))
        except InvalidName as error:
            raise Unavailable(f"{cluster}: {error}") from error
        report = read_report(directory) or report
    name = f"instance-{options.instance}"
    instance = next((process for process in report.of(cluster) if process.name == name), None)
    if cluster is None or instance is None:
        raise Unavailable(f"there is no instance {options.instance}; borealis status tells what runs")
    # Through the instance's own socket, which takes the account of the host or root: no token, no certificate.
    folder = directory.cluster(ClusterIdentifier(cluster)).instance(options.instance).socket
    program = find_postgres() / "bin" / "psql"
    others = {name: value for name, value in os.environ.items() if not name.startswith(CONNECTION_VARIABLES)}
    environment = {"TERMINFO_DIRS": ":".join(TERMINFO_DIRS), **others}
    command = [
        str(program),
        "-h",
        str(folder),
        "-p",
        str(instance.port),
        "-U",
        ADMIN,
        "-d",
        DATABASE,
        *options.arguments,
    ]
    os.execve(program, command, environment)


async def _wake(host_socket: Path, cluster: ClusterIdentifier) -> None:
    """Raises Unavailable when there is no such cluster, or when it cannot be started."""
    host = HostClient(host_socket)
    try:
        await host.start(cluster)
    finally:
        await host.close()

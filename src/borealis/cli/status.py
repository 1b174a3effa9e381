"""`borealis status`: what runs, and how far each part has come."""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from borealis.clusters.names import ClusterIdentifier
from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.foundation.pages import STORAGE_MAGIC, TRANSACTIONS_MAGIC, SharedPage, StorageWord, TransactionsWord
from borealis.host.layout import ClusterDirectory, DataDirectory, open_layout
from borealis.host.postgres_settings import DATABASE, SUPERUSER
from borealis.host.report import HostReport, ProcessReport, read_report
from borealis.host.server_tree import find_postgres

# How long an instance may take to answer.
ANSWER_S = 3.0

# What an operator may paste into a script: names here are an interface.
Status = dict[str, Any]


def status(options: argparse.Namespace) -> int:
    directory = open_layout(options.data)
    report = read_report(directory)
    found = collect(directory, report)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(render(found)))
    return 0 if report is not None else 3


def collect(directory: DataDirectory, report: HostReport | None) -> Status:
    return {
        "data": str(directory.root),
        "running": report is not None,
        "host": report.process_id if report else None,
        # Of everything that the host runs, itself included.
        "memory_bytes": read_memory(report.process_id) if report else None,
        "processes": [
            {
                "name": process.name,
                "cluster": process.cluster,
                "pid": process.process_id,
                "port": process.port,
                "ready": process.is_ready,
                "restarts": process.restarts,
                "memory_bytes": read_memory(process.process_id),
                "catalog_version": ask_catalog_version(directory, process),
                "log": process.log,
            }
            for process in (report.processes if report else ())
        ],
        "clusters": [describe_cluster(directory.cluster(identifier)) for identifier in awake_clusters(report)],
    }


def awake_clusters(report: HostReport | None) -> list[ClusterIdentifier]:
    """In the order in which they were started."""
    clusters = dict.fromkeys(process.cluster for process in (report.processes if report else ()))
    return [ClusterIdentifier(cluster) for cluster in clusters if cluster is not None]


def describe_cluster(directory: ClusterDirectory) -> Status:
    return {
        "cluster": directory.identifier,
        "spare": directory.spare_mark.exists(),
        "transactions": read_transactions(directory.run / "transactions.page"),
        "storage": read_storage(directory.run / "storage.page"),
    }


def read_transactions(path: Path) -> Status | None:
    try:
        page = SharedPage.watch(path, TRANSACTIONS_MAGIC)
    except Unavailable:
        return None
    with closing(page):
        return {
            "acknowledged_timestamp": page.load(TransactionsWord.ACKNOWLEDGED),
            "catalog_version": page.load(TransactionsWord.CATALOG_VERSION),
            "schema_version": page.load(TransactionsWord.SCHEMA_VERSION),
            "lease_start": page.load(TransactionsWord.LEASE_START),
        }


def read_storage(path: Path) -> Status | None:
    try:
        page = SharedPage.watch(path, STORAGE_MAGIC)
    except Unavailable:
        return None
    with closing(page):
        return {
            "applied_timestamp": page.load(StorageWord.APPLIED),
            "applied_position": page.load(StorageWord.APPLIED_POSITION),
            "horizon": page.load(StorageWord.HORIZON),
            "map_bytes": page.load(StorageWord.MAP_BYTES),
        }


def ask_catalog_version(directory: DataDirectory, process: ProcessReport) -> int | None:
    """The version that an instance's local catalogs hold; None for a service, or when there is no answer in time.

    Asked as the superuser through the Unix socket, which takes the account of the host or root."""
    if process.port is None or process.cluster is None or not process.is_ready:
        return None
    cluster = directory.cluster(ClusterIdentifier(process.cluster))
    folder = cluster.instance(int(process.name.rpartition("-")[2])).socket
    target = ("-h", folder, "-p", str(process.port), "-U", SUPERUSER, "-d", DATABASE)
    query = "SELECT catalog_version FROM borealis.catalog_state"
    try:
        answer = subprocess.run(
            [find_postgres() / "bin" / "psql", "-X", "-At", *target, "-c", query],
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    return int(answer.stdout) if answer.stdout.strip().isdecimal() else None


def read_memory(process_id: int | None) -> int | None:
    """Proportional set size of a process and its children; None where the system does not tell."""
    if process_id is None:
        return None
    try:
        return sum(read_proportional_set(member) for member in process_tree(process_id))
    except OSError:
        return None


def process_tree(root: int) -> Iterator[int]:
    yield root
    for entry in os.scandir(f"/proc/{root}/task"):
        for child in Path(entry.path, "children").read_text().split():
            yield from process_tree(int(child))


def read_proportional_set(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def render(found: Status) -> Iterator[str]:
    yield f"data          {found['data']}"
    if not found["running"]:
        yield "nothing runs"
        return
    yield f"host          process {found['host']}"
    for process in found["processes"]:
        if process["cluster"] is None:
            yield render_process(process)
    if found["memory_bytes"]:
        yield f"memory        {found['memory_bytes'] / 1_000_000:.1f} MB in all"
    for cluster in found["clusters"]:
        yield ""
        yield f"cluster       {cluster['cluster']}{' (blank, started ahead)' if cluster['spare'] else ''}"
        for process in found["processes"]:
            if process["cluster"] == cluster["cluster"]:
                yield render_process(process)
        yield from render_progress(cluster["transactions"], cluster["storage"])


def render_progress(transactions: Status | None, storage: Status | None) -> Iterator[str]:
    if transactions:
        yield f"committed     {render_time(transactions['acknowledged_timestamp'])}"
        yield f"catalog       version {transactions['catalog_version']} (schema {transactions['schema_version']})"
    if storage:
        position = storage["applied_position"]
        yield f"applied       {render_time(storage['applied_timestamp'])}, journal position {position}"
    if transactions and storage:
        lag = max(0, transactions["acknowledged_timestamp"] - storage["applied_timestamp"])
        yield f"behind        {lag / NANOSECONDS_PER_SECOND:.6f} s"


def render_process(process: Status) -> str:
    parts = [f"{process['name']:<14}"]
    parts.append(f"process {process['pid']}" if process["pid"] else "not running")
    if process["port"]:
        parts.append(f"port {process['port']}")
    if not process["ready"]:
        parts.append("not ready")
    if process["catalog_version"] is not None:
        parts.append(f"catalog version {process['catalog_version']}")
    if process["restarts"]:
        parts.append(f"restarted {process['restarts']} times")
    if process["memory_bytes"]:
        parts.append(f"{process['memory_bytes'] / 1_000_000:.1f} MB")
    return parts[0] + ", ".join(parts[1:])


def render_time(timestamp: int) -> str:
    """A timestamp in nanoseconds, as UTC."""
    if timestamp == 0:
        return "nothing yet"
    seconds, rest = divmod(timestamp, NANOSECONDS_PER_SECOND)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:09d} UTC ({timestamp})"

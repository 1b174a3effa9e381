"""Measures the front door: connections, TLS throughput and idle sessions, against PgBouncer with TLS in front of stock
Postgres, in the same run; and how long a new cluster takes.

PgBouncer speaks TLS with the same certificate, checks SCRAM passwords and pools transactions. Rounds are interleaved,
and their order turns; what is printed are medians, and as the ratio the median of the ratios of neighbouring rounds.
Below version 1.21 it cannot track prepared statements: both sides are measured with pgbench's simple protocol then.
Needs `pgbouncer`, and a `pgbench` that was built with TLS, on the PATH; what they measure is left out without them.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import boto3
import psycopg

from benchmarks.crowd import Crowd
from benchmarks.databases import Borealis, StockPostgres, free_port, remove
from benchmarks.processes import idle_memory, wait_for_rest
from benchmarks.session_memory import measure_session_memory
from benchmarks.storms import STORM, connections_per_processor_second, find_relay, storm
from borealis.cli.access import Access, find_access
from borealis.host.account import NOBODY

PGBOUNCER, PGBENCH = shutil.which("pgbouncer"), shutil.which("pgbench")
PASSWORD = "a password that only this run knows"
BACKENDS = 8
START_S = 30
REST_S = 5
# What was deleted before goes on going for so long.
DELETE_S = 1.0
ROUNDS = 5
CONNECTIONS = 40
STORM_ROUNDS = 3
CLIENTS = (8, 64)
STATE_SESSIONS = 2000
PINNED_SESSIONS = 60
WORTH_A_ROW_KB = 0.05
HEAD = """| measure | rounds | PgBouncer + PostgreSQL | Borealis | ratio | lowest … highest | at least | aim |
|---|---:|---:|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Door:
    """How clients come in: libpq settings, and the process from which all that serve them descend."""

    name: str
    parameters: dict[str, str]
    process_id: int

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(**self.parameters, autocommit=True)  # type: ignore[arg-type]

    @property
    def environment(self) -> dict[str, str]:
        names = {"dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
        settings = {names.get(name, f"PG{name.upper()}"): value for name, value in self.parameters.items()}
        return {**os.environ, **settings}


class FrontDoor(Borealis):
    """Borealis, reached as its users reach it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--connection-rate", "100000", "--connection-burst", "100000")

    def access(self) -> Access:
        return find_access(self.data, None)

    @cached_property
    def api(self) -> Any:
        access = self.access()
        return boto3.session.Session().client(
            "dsql",
            region_name=access.endpoint.region,
            endpoint_url=access.api_url,
            verify=str(access.files.trust),
            aws_access_key_id=access.key.id,
            aws_secret_access_key=access.key.secret.reveal(),
        )

    @contextmanager
    def new_cluster(self) -> Iterator[Door]:
        """The door of a cluster that nobody has used; deleted afterwards."""
        api = self.api
        created = api.create_cluster(deletionProtectionEnabled=False)
        try:
            while api.get_cluster(identifier=created["identifier"])["status"] == "CREATING":
                time.sleep(0.005)
            token = api.generate_db_connect_admin_auth_token(created["endpoint"], api.meta.region_name, 3600)
            door = self.door()
            yield replace(door, parameters={**door.parameters, "host": created["endpoint"], "password": token})
        finally:
            api.delete_cluster(identifier=created["identifier"])

    def door(self) -> Door:
        access = self.access()
        parameters = {
            "host": str(access.endpoint),
            "hostaddr": "127.0.0.1",
            "port": str(access.port),
            "user": "admin",
            "dbname": "postgres",
            "password": access.token("admin", 12 * 3600),
            "sslmode": "verify-full",
            "sslrootcert": str(access.files.authority),
        }
        return Door("Borealis", parameters, self.process_id())


@contextmanager
def pgbouncer(folder: Path, stock: StockPostgres, access: Access) -> Iterator[Door]:
    """PgBouncer with TLS and SCRAM before stock Postgres, for as long as it is needed."""
    assert PGBOUNCER is not None
    port = free_port()
    for name, source in (("server.pem", access.files.certificate), ("server.key", access.files.key)):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "users").write_text(f'"{stock.user}" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
postgres = host=127.0.0.1 port={stock.port} dbname=postgres user={stock.user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder / "users"}
pool_mode = transaction
default_pool_size = {BACKENDS}
min_pool_size = {BACKENDS}
max_client_conn = 20000
client_tls_sslmode = require
client_tls_cert_file = {folder / "server.pem"}
client_tls_key_file = {folder / "server.key"}
log_connections = 0
log_disconnections = 0
logfile = {folder / "log"}
"""
    )
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if identity:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    process = subprocess.Popen(  # type: ignore[call-overload]
        [PGBOUNCER, "-q", folder / "pgbouncer.ini"], stderr=subprocess.DEVNULL, **identity
    )
    parameters = {
        "host": "localhost",
        "hostaddr": "127.0.0.1",
        "port": str(port),
        "user": stock.user,
        "dbname": "postgres",
        "password": PASSWORD,
        "sslmode": "verify-full",
        "sslrootcert": str(access.files.authority),
    }
    try:
        door = Door("PgBouncer", parameters, process.pid)
        wait_until_open(door)
        yield door
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wait_until_open(door: Door) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            door.connect().close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def pgbouncer_version() -> tuple[int, ...]:
    assert PGBOUNCER is not None
    first = subprocess.run([PGBOUNCER, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return tuple(int(part) for part in first.split("."))


def connection_to_first_row_ms(door: Door) -> float:
    """Median, one after the other: TCP, TLS, login, one row."""
    took = []
    for _ in range(CONNECTIONS):
        begin = time.perf_counter()
        with door.connect() as connection:
            connection.execute("SELECT 1").fetchone()
            took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1000


def select_only_tps(door: Door, clients: int, seconds: int, protocol: str) -> float:
    assert PGBENCH is not None
    command = [
        *(PGBENCH, "-n", "-S", "-M", protocol, "-c", str(clients), "-j", "2", "-T", str(seconds)),
        "--no-vacuum",
    ]
    done = subprocess.run(command, env=door.environment, capture_output=True, text=True, check=False)
    found = [float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps = ")]
    if done.returncode or not found:
        raise RuntimeError(f"{door.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found[0]


def create_to_first_query_ms(borealis: FrontDoor) -> float:
    """CreateCluster of boto3, a token, a connection, a row; nothing was started ahead."""
    borealis.api.list_clusters()  # its connection, and what boto3 loads, are not measured
    time.sleep(DELETE_S)
    wait_for_rest([borealis.process_id()])
    begin = time.perf_counter()
    with borealis.new_cluster() as door, door.connect() as connection:
        connection.execute("SELECT 1").fetchone()
        took = time.perf_counter() - begin
    return took * 1000


@dataclass(frozen=True)
class Row:
    name: str
    unit: str
    measured: Sequence[float]
    peer: Sequence[float] = ()
    """Measured by turns, if at all."""
    # In the unit when there is no peer, else as the ratio of speeds.
    at_least: float = 0
    aim: float = 0
    is_rate: bool = False

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.measured, self.peer, strict=True) if self.peer else ()
        return [ours / theirs if self.is_rate else theirs / ours for ours, theirs in pairs]

    def render(self) -> str:
        cells = [self.name, str(len(self.measured)), "", self._median(self.measured), "", ""]
        if self.peer:
            cells[2] = self._median(self.peer)
            cells[4] = f"**{statistics.median(self.ratios):.2f}**"
        spread = self.ratios or self.measured
        if len(spread) > 1:
            cells[5] = f"{_number(min(spread))} … {_number(max(spread))}"
        cells += (f"{target:g}" if target else "" for target in (self.at_least, self.aim))
        return f"| {' | '.join(cells)} |"

    def _median(self, values: Sequence[float]) -> str:
        return f"{_number(statistics.median(values))} {self.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def by_turns(
    doors: tuple[Door, Door | None], rounds: int, measure: Callable[[Door], float]
) -> tuple[list[float], list[float]]:
    """Ours and the peer's."""
    found: tuple[list[float], list[float]] = ([], [])
    roots = [door.process_id for door in doors if door]
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            door = doors[side]
            if door is not None:
                wait_for_rest(roots)
                found[side].append(measure(door))
    return found


def measure(borealis: FrontDoor, peer: Door | None, options: argparse.Namespace) -> Iterator[Row]:
    doors = (borealis.door(), peer)
    # First: what processes have had, they keep.
    yield from measure_sessions(borealis, peer, options.sessions)
    created = [create_to_first_query_ms(borealis) for _ in range(ROUNDS)]
    yield Row("CreateCluster to first query", "ms", created, at_least=1000, aim=300)
    by_turns(doors, 1, connection_to_first_row_ms)
    took, reached = by_turns(doors, ROUNDS, connection_to_first_row_ms)
    yield Row(f"new connection to first row, p50 of {CONNECTIONS}", "ms", took, reached, at_least=8, aim=4)
    yield from measure_crowds(borealis)
    if PGBENCH is not None:
        tracks = peer is None or pgbouncer_version() >= (1, 21)
        protocol = "prepared" if tracks else "simple"
        for clients in CLIENTS:
            ours, theirs = by_turns(
                doors, ROUNDS, partial(select_only_tps, clients=clients, seconds=options.seconds, protocol=protocol)
            )
            name = f"pgbench -S over TLS, {protocol} protocol, {clients} clients"
            yield Row(name, "tps", ours, theirs, at_least=0.7, aim=1.2, is_rate=True)


def measure_sessions(borealis: FrontDoor, peer: Door | None, count: int) -> Iterator[Row]:
    theirs = [measure_session_memory(peer.process_id, peer.parameters, count).total] if peer else []
    with borealis.new_cluster() as door:
        ours = measure_session_memory(door.process_id, door.parameters, count)
    yield Row(f"memory of an idle session ({count:,})", "kB", [ours.total], theirs, at_least=12, aim=8)
    for process, held in sorted(ours.by_process.items(), key=lambda item: -item[1]):
        if abs(held) >= WORTH_A_ROW_KB:
            yield Row(f"of that in processes named {process}", "kB", [held])
    setting = "SELECT set_config('application_name', gen_random_uuid()::text, false)"
    table = "CREATE TEMPORARY TABLE held (number int)"
    for name, sessions, statement in (
        ("with a setting that only it has", STATE_SESSIONS, setting),
        ("with a temporary table, which keeps a backend", PINNED_SESSIONS, table),
    ):
        with borealis.new_cluster() as door:
            held = measure_session_memory(door.process_id, door.parameters, sessions, statement)
        yield Row(f"memory of an idle session {name} ({sessions:,})", "kB", [held.total])


def measure_crowds(borealis: FrontDoor) -> Iterator[Row]:
    """The clients of a crowd do not speak SCRAM: PgBouncer is left out."""
    access, token = borealis.access(), borealis.door().parameters["password"]
    with Crowd(str(access.endpoint), access.port, access.files.authority, token) as crowd:
        relay = find_relay(borealis.data)
        rates = [connections_per_processor_second(crowd, relay) for _ in range(ROUNDS)]
        yield Row("connections per CPU second of the relay", "1/s", rates, at_least=1200, aim=2000)
        storms = []
        for _ in range(STORM_ROUNDS):
            wait_for_rest([borealis.process_id()])
            storms.append(storm(crowd))
            crowd.drop()
    # No target is set for these.
    yield Row(f"{STORM:,} connections at once, until the last is in", "s", [each.arrival_s for each in storms])
    yield Row(f"the same, after {STORM:,} sessions were dropped", "s", [each.return_s for each in storms])


def raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def show(row: Row) -> None:
    print(row.render(), flush=True)


def run(options: argparse.Namespace, folder: Path) -> None:
    raise_file_limit(3 * options.sessions + 1000)
    stock, borealis = StockPostgres(folder), FrontDoor(folder)
    try:
        borealis.start()
        time.sleep(REST_S)
        # Before there is data: pages of the map are memory that the system can take back, but they are counted.
        at_rest = idle_memory(borealis.process_id())
        stock.start()
        for database in (stock, borealis):
            database.run("pgbench", "-i", "-q", "-s", "10")
        stock.psql(f"ALTER USER {stock.user} PASSWORD '{PASSWORD}'")
        bouncer = folder / "bouncer"
        bouncer.mkdir()
        print(HEAD)
        show(Row(f"memory at rest, {len(at_rest)} processes", "MiB", [sum(at_rest.values())], at_least=120, aim=60))
        if PGBOUNCER is None:
            print("pgbouncer is not on the PATH: nothing to compare with", file=sys.stderr)
        with pgbouncer(bouncer, stock, borealis.access()) if PGBOUNCER else nullcontext() as peer:
            for row in measure(borealis, peer, options):
                show(row)
    finally:
        borealis.stop()
        stock.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front_door", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each pgbench run (default 5)")
    parser.add_argument("--sessions", type=int, default=5000, help="idle sessions held (default 5000)")
    parser.add_argument("--folder", type=Path, help="where both databases lie (default: a temporary folder)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="borealis-bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        run(options, folder)
    finally:
        remove(folder)


if __name__ == "__main__":
    main()

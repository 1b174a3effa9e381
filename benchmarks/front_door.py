"""Measures the front door: connections, TLS throughput and idle sessions, against PgBouncer with TLS in front of stock
Postgres, in the same run; and how long a new cluster takes.

PgBouncer speaks TLS with the same certificate, checks SCRAM passwords and pools transactions over a Unix socket.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg

from benchmarks.crowd import Crowd
from benchmarks.databases import Borealis, StockPostgres, free_port, remove
from benchmarks.idle_sessions import hold_sessions
from benchmarks.processes import idle_memory, own_memory_kib, wait_for_rest
from benchmarks.storms import STORM, connections_per_processor_second, find_relay, storm
from borealis.cli.access import Access, find_access
from borealis.host.account import NOBODY

PGBOUNCER, PGBENCH = shutil.which("pgbouncer"), shutil.which("pgbench")
PASSWORD = "a password that only this run knows"
BACKENDS = 8
START_S = 30
REST_S = 5
HEAD = """| measure | PgBouncer + PostgreSQL | Borealis | ratio | at least | aim |
|---|---:|---:|---:|---:|---:|"""


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


def connection_to_first_row_ms(door: Door, count: int) -> float:
    """Median, one after the other: TCP, TLS, login, one row."""
    took = []
    for _ in range(count):
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


def create_to_first_query_ms(borealis: FrontDoor, count: int) -> float:
    """Median: CreateCluster of boto3, a token, a connection, a row; nothing was started ahead."""
    access = borealis.access()
    api = boto3.session.Session().client(
        "dsql",
        region_name=access.endpoint.region,
        endpoint_url=access.api_url,
        verify=str(access.files.trust),
        aws_access_key_id=access.key.id,
        aws_secret_access_key=access.key.secret.reveal(),
    )
    took = []
    for _ in range(count):
        time.sleep(1.0)
        wait_for_rest([borealis.process_id()])
        begin = time.perf_counter()
        created = api.create_cluster(deletionProtectionEnabled=False)
        while api.get_cluster(identifier=created["identifier"])["status"] == "CREATING":
            time.sleep(0.005)
        token = api.generate_db_connect_admin_auth_token(created["endpoint"], access.endpoint.region)
        parameters = {**borealis.door().parameters, "host": created["endpoint"], "password": token}
        with psycopg.connect(**parameters, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("SELECT 1").fetchone()
        took.append(time.perf_counter() - begin)
        api.delete_cluster(identifier=created["identifier"])
    return statistics.median(took) * 1000


def session_memory_kb(door: Door, count: int) -> float:
    """What each idle session costs all of our processes together, in kB."""
    before = own_memory_kib(door.process_id)
    with hold_sessions(door.parameters, count):
        wait_for_rest([door.process_id])
        after = own_memory_kib(door.process_id)
    return (after - before) / count


@dataclass(frozen=True)
class Row:
    name: str
    peer: float | None
    measured: float
    unit: str
    # In the unit when there is no peer, else as the ratio of speeds.
    at_least: float
    aim: float
    is_rate: bool = False

    @property
    def ratio(self) -> float | None:
        if self.peer is None:
            return None
        return self.measured / self.peer if self.is_rate else self.peer / self.measured

    def render(self) -> str:
        peer = "" if self.peer is None else f"{self.peer:,.4g} {self.unit}"
        ratio = "" if self.ratio is None else f"**{self.ratio:.2f}**"
        targets = (f"{target:g}" if target else "" for target in (self.at_least, self.aim))
        cells = (self.name, peer, f"{self.measured:,.4g} {self.unit}", ratio, *targets)
        return f"| {' | '.join(cells)} |"


def measure(
    borealis: FrontDoor, peer: Door | None, seconds: int, sessions: int, at_rest: dict[str, float]
) -> Iterator[Row]:
    door = borealis.door()
    yield Row(f"memory at rest, {len(at_rest)} processes", None, sum(at_rest.values()), "MiB", 120, 60)
    yield Row("CreateCluster to first query", None, create_to_first_query_ms(borealis, 5), "ms", at_least=1000, aim=300)
    for each in (door, peer) if peer else (door,):
        connection_to_first_row_ms(each, 20)
    reached = connection_to_first_row_ms(peer, 200) if peer else None
    measured = connection_to_first_row_ms(door, 200)
    yield Row("new connection to first row, p50", reached, measured, "ms", at_least=8, aim=4)
    yield from measure_crowds(borealis)
    if PGBENCH is not None:
        tracks = peer is None or pgbouncer_version() >= (1, 21)
        protocol = "prepared" if tracks else "simple"
        for clients in (8, 64):
            rounds = [(door, peer), (door, peer), (door, peer)]
            ours, theirs = [], []
            for mine, other in rounds:
                ours.append(select_only_tps(mine, clients, seconds, protocol))
                if other:
                    theirs.append(select_only_tps(other, clients, seconds, protocol))
            yield Row(
                f"pgbench -S over TLS, {protocol} protocol, {clients} clients",
                statistics.median(theirs) if theirs else None,
                statistics.median(ours),
                "tps",
                at_least=0.7,
                aim=1.2,
                is_rate=True,
            )
    held = session_memory_kb(peer, sessions) if peer else None
    yield Row(f"memory of an idle session ({sessions})", held, session_memory_kb(door, sessions), "kB", 12, 8)


def measure_crowds(borealis: FrontDoor) -> Iterator[Row]:
    """The clients of a crowd do not speak SCRAM: PgBouncer is left out."""
    access, token = borealis.access(), borealis.door().parameters["password"]
    with Crowd(str(access.endpoint), access.port, access.files.authority, token) as crowd:
        rate = connections_per_processor_second(crowd, find_relay(borealis.data))
        yield Row("connections per CPU second of the relay", None, rate, "1/s", at_least=1200, aim=2000)
        wait_for_rest([borealis.process_id()])
        took = storm(crowd)
    # No target is set for these.
    yield Row(f"{STORM:,} connections at once, until the last is in", None, took.arrival_s, "s", 0, 0)
    yield Row(f"the same, after {STORM:,} sessions were dropped", None, took.return_s, "s", 0, 0)


def raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


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
        if PGBOUNCER is None:
            print("pgbouncer is not on the PATH: nothing to compare with", file=sys.stderr)
            rows = list(measure(borealis, None, options.seconds, options.sessions, at_rest))
        else:
            with pgbouncer(bouncer, stock, borealis.access()) as peer:
                rows = list(measure(borealis, peer, options.seconds, options.sessions, at_rest))
        for row in rows:
            print(row.render(), flush=True)
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

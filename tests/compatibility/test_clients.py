"""Unmodified clients of Aurora DSQL, set up by nothing but `borealis env`: create a cluster, log in, work."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import json
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import asyncpg
import botocore.exceptions
import psycopg
import psycopg2
import pytest

from tests.compatibility.front_door import PSQL, Endpoint, FrontDoor
from tests.integration.control.clusters import wait_gone

AWS = str(Path(sys.executable).with_name("aws"))
QUERY = "SELECT current_user, current_database(), 40 + 2"
ANSWER = ("admin", "postgres", 42)


def run(front_door: FrontDoor, *command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env={**front_door.environment, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which(PSQL) is None, reason="there is no psql with TLS on the PATH")
def test_psql_works_as_it_stands(front_door: FrontDoor) -> None:
    assert run(front_door, PSQL, "-XAtc", QUERY).strip() == "admin|postgres|42"
    assert "TLSv1.3" in run(front_door, PSQL, "-Xc", r"\conninfo")


@pytest.mark.skipif(shutil.which(PSQL) is None, reason="there is no psql with TLS on the PATH")
def test_a_cluster_that_the_aws_cli_creates_is_open_to_psql(front_door: FrontDoor) -> None:
    created = json.loads(run(front_door, AWS, "dsql", "create-cluster", "--no-deletion-protection-enabled"))
    run(front_door, AWS, "dsql", "wait", "cluster-active", "--identifier", created["identifier"])
    host = created["endpoint"]
    # Version 1 of the AWS CLI, the one on PyPI, makes no tokens; version 2 makes them as the SDKs do.
    token = front_door.command("token", "--cluster", created["identifier"]).strip()
    answer = run(front_door, PSQL, "-XAtc", QUERY, PGHOST=host, PGPASSWORD=token)
    assert answer.strip() == "admin|postgres|42"
    run(front_door, AWS, "dsql", "delete-cluster", "--identifier", created["identifier"])


def test_our_own_token_is_one_that_the_sdk_could_have_made(front_door: FrontDoor) -> None:
    token = front_door.command("token").strip()
    with front_door.connect(front_door.first, token) as connection:
        assert connection.execute(QUERY).fetchone() == ANSWER


@pytest.fixture
def new_cluster(front_door: FrontDoor) -> Endpoint:
    return front_door.create()


def test_psycopg(front_door: FrontDoor, new_cluster: Endpoint) -> None:
    with front_door.connect(new_cluster) as connection:
        assert connection.execute(QUERY).fetchone() == ANSWER
        connection.execute("CREATE TABLE notes (id bigint PRIMARY KEY, note text)")
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany("INSERT INTO notes VALUES (%s, %s)", [(n, f"note {n}") for n in range(100)])
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (100,)


def test_libpq_changes_its_keys_and_asks_for_ours(front_door: FrontDoor) -> None:
    """By OpenSSL's own function, in the middle of everything."""
    libraries = Path(importlib.util.find_spec("psycopg_binary").origin).parents[1] / "psycopg_binary.libs"  # type: ignore[union-attr,arg-type]
    libpq, openssl = (ctypes.CDLL(str(next(libraries.glob(f"{name}-*")))) for name in ("libpq", "libssl"))
    libpq.PQsslStruct.restype = ctypes.c_void_p
    with front_door.connect(front_door.first) as connection, connection.cursor() as cursor:
        handle = libpq.PQsslStruct(ctypes.c_void_p(connection.pgconn.pgconn_ptr), b"OpenSSL")

        def change_keys(number: int) -> None:
            """Every other time with the wish that the server changes its own."""
            assert openssl.SSL_key_update(ctypes.c_void_p(handle), number % 2) == 1

        for number in range(20):
            change_keys(number)
            text = "x" * (number * 5000)
            assert connection.execute("SELECT %s::text", (text,)).fetchone() == (text,)
        cursor.execute("CREATE TEMPORARY TABLE line (number int, text text)")
        with cursor.copy("COPY line FROM STDIN") as copy:
            for number in range(2000):
                if number % 100 == 0:
                    change_keys(number // 100)
                copy.write_row((number, "y" * 500))
        with cursor.copy("COPY line TO STDOUT") as copy:
            count = 0
            for count, _ in enumerate(copy.rows(), 1):
                if count % 300 == 0:
                    change_keys(count // 300)
        assert count == 2000


def test_psycopg2(front_door: FrontDoor, new_cluster: Endpoint) -> None:
    connection = psycopg2.connect(**front_door.parameters(new_cluster))
    with connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        assert cursor.fetchone() == ANSWER
    connection.close()


def test_asyncpg(front_door: FrontDoor, new_cluster: Endpoint) -> None:
    async def work() -> None:
        context = ssl.create_default_context(cafile=front_door.environment["PGSSLROOTCERT"])
        parameters = front_door.parameters(new_cluster)
        with front_door.resolving():
            connection = await asyncpg.connect(
                host=new_cluster.host,
                port=int(parameters["port"]),
                user="admin",
                database="postgres",
                password=parameters["password"],
                ssl=context,
            )
        assert tuple(await connection.fetchrow(QUERY)) == ANSWER
        await connection.execute("CREATE TABLE words (id bigint PRIMARY KEY, word text)")
        await connection.executemany("INSERT INTO words VALUES ($1, $2)", [(1, "aurora"), (2, "borealis")])
        rows = await connection.fetch("SELECT word FROM words WHERE id = ANY($1::bigint[]) ORDER BY id", [1, 2])
        assert [row["word"] for row in rows] == ["aurora", "borealis"]
        await connection.close()

    asyncio.run(work())


def test_clusters_do_not_see_each_other(front_door: FrontDoor) -> None:
    endpoints = [front_door.create(), front_door.create()]
    for number, endpoint in enumerate(endpoints):
        with front_door.connect(endpoint) as connection:
            connection.execute("CREATE TABLE mine (number int PRIMARY KEY)")
            connection.execute("INSERT INTO mine VALUES (%s)", [number])
    for number, endpoint in enumerate(endpoints):
        with front_door.connect(endpoint) as connection:
            assert connection.execute("SELECT number FROM mine").fetchall() == [(number,)]
    token = front_door.token(endpoints[0])
    with pytest.raises(psycopg.OperationalError, match="access denied"):
        front_door.connect(endpoints[1], token)


def test_a_deleted_cluster_takes_nobody(front_door: FrontDoor, new_cluster: Endpoint) -> None:
    api, token = front_door.api(), front_door.token(new_cluster)
    api.delete_cluster(identifier=new_cluster.identifier)
    wait_gone(api, new_cluster.identifier)
    with pytest.raises(psycopg.OperationalError):
        front_door.connect(new_cluster, token)
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        api.get_cluster(identifier=new_cluster.identifier)


def test_a_cluster_that_is_still_created_holds_its_first_connection(front_door: FrontDoor) -> None:
    """Several at once: not all of them can be ones that were started ahead."""
    created = [front_door.api().create_cluster(deletionProtectionEnabled=False) for _ in range(3)]
    for cluster in created:
        assert cluster["status"] == "CREATING"
        with front_door.connect(Endpoint(cluster["identifier"], cluster["endpoint"])) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_sleeping_cluster_is_woken_and_the_connection_held(front_door: FrontDoor, new_cluster: Endpoint) -> None:
    with front_door.connect(new_cluster) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
    front_door.stop_cluster(new_cluster)
    assert front_door.api().get_cluster(identifier=new_cluster.identifier)["status"] in ("INACTIVE", "ACTIVE", "IDLE")
    with front_door.connect(new_cluster) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_the_operator_s_psql_wakes_a_sleeping_cluster(front_door: FrontDoor, new_cluster: Endpoint) -> None:
    with front_door.connect(new_cluster) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
    front_door.stop_cluster(new_cluster)
    told = front_door.command("psql", "--cluster", new_cluster.identifier, "-XAtc", "SELECT count(*) FROM kept")
    assert told == "0\n"


@pytest.mark.parametrize(("cluster", "problem"), [("x" * 26, "there is no cluster"), ("nonsense", "nonsense: ")])
def test_a_psql_for_a_cluster_that_is_not_there_says_so(front_door: FrontDoor, cluster: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=f"borealis: {problem}"):
        front_door.command("psql", "--cluster", cluster, "-XAtc", "SELECT 1")

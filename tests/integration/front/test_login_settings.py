"""What a login brings: settings of the startup packet, and those of ALTER ROLE and ALTER DATABASE SET."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from borealis.front.messages import query
from tests.cluster import Cluster, Connection
from tests.integration.front.raw_client import RawClient
from tests.integration.front.running_front import RunningFront, StartFront
from tests.integration.front.test_roles import map_role, role  # noqa: F401 - a fixture
from tests.stock import StockServer


def show(connection: Connection, name: str) -> object:
    row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
    assert row is not None
    return row[0]


def backend_of(connection: Connection) -> object:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return row[0]


def test_other_names_of_the_client_do_not_need_other_backends(start_front: StartFront) -> None:
    front = start_front(backends_target=1, backends_max=1)
    connections = [front.connect(application_name=f"client {number}") for number in range(20)]
    assert len({backend_of(connection) for connection in connections}) == 1
    for number, connection in enumerate(connections):
        assert connection.info.parameter_status("application_name") == f"client {number}"
        assert show(connection, "application_name") == f"client {number}"
    first, second = connections[:2]
    first.execute("SET application_name = 'other'")
    assert show(second, "application_name") == "client 1"
    assert show(first, "application_name") == "other"
    first.execute("RESET application_name")
    assert show(first, "application_name") == "client 0"
    second.execute("SET application_name = 'other'")
    second.execute("DISCARD ALL")
    assert show(second, "application_name") == "client 1"
    # Who logs in waits for nobody's transaction, also when a role or the catalogs have to be looked at.
    first.execute("BEGIN")
    first.execute("CREATE ROLE front_test_passer_by")
    first.execute("SAVEPOINT here")
    with front.connect(application_name="client 1") as during:
        assert during.info.parameter_status("application_name") == "client 1"
    first.execute("ROLLBACK")
    # Who brings none has none.
    with front.connect() as without:
        assert show(without, "application_name") == ""
    for connection in connections:
        connection.close()


def test_what_gives_a_text_its_meaning_follows_too(start_front: StartFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared statements of one session never answer for one that understands the text otherwise."""
    front = start_front(backends_target=1, backends_max=1)
    connections = []
    for style, zone in (("German, DMY", "UTC"), ("ISO, MDY", "Asia/Tokyo"), ("SQL, DMY", "UTC")):
        monkeypatch.setenv("PGDATESTYLE", style)
        monkeypatch.setenv("PGTZ", zone)
        connections.append(front.connect())
    assert len({backend_of(connection) for connection in connections}) == 1
    text = "SELECT (date '2/3/2004')::text, (timestamptz '2004-01-01 00:00+00')::text"
    for _ in range(2):
        answers = [connection.execute(text, prepare=True).fetchone() for connection in connections]
        assert answers == [
            ("02.03.2004", "01.01.2004 00:00:00 UTC"),
            ("2004-02-03", "2004-01-01 09:00:00+09"),
            ("02/03/2004", "01/01/2004 00:00:00 UTC"),
        ]
    for connection in connections:
        connection.close()


def test_a_value_that_does_not_exist_is_refused_as_postgres_does(
    front: RunningFront, stock: StockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.connect().close()
    monkeypatch.setenv("PGTZ", "Mars/Phobos")
    with pytest.raises(psycopg.OperationalError) as ours:
        front.connect()
    with pytest.raises(psycopg.OperationalError) as theirs:
        psycopg.connect(stock.dsn())
    refusal = 'FATAL:  invalid value for parameter "TimeZone": "Mars/Phobos"'
    assert refusal in str(ours.value)
    assert refusal in str(theirs.value)
    monkeypatch.delenv("PGTZ")
    with front.connect() as connection:
        assert show(connection, "TimeZone") == "UTC"


def test_nobody_else_can_log_a_backend_in(front: RunningFront) -> None:
    """Whoever could would leave settings to the session that comes next."""
    settings = struct.pack("<I", 1) + b"".join(struct.pack("<I", len(text)) + text for text in (b"work_mem", b"7MB"))
    with RawClient(front.entrance.port) as client:
        _, secret = struct.unpack(">Ii", next(body for kind, body in client.greeting if kind == b"K"))
        client.send(query(f"SELECT borealis.session_log_in({secret}, '\\x{settings.hex()}')"))
        _, body = client.read_until(b"E")[-1]
        assert b"VFATAL\0C42501\0Ma session cannot log in once more\0" in body
        assert client.read_message() == (b"", b"")
    with front.connect() as connection:
        assert show(connection, "work_mem") == "4MB"


@pytest.fixture
def mapped(cluster: Cluster, role: str) -> Iterator[str]:  # noqa: F811
    """A role that the tests may connect as."""
    map_role(cluster, role, is_granted=True)
    yield role
    map_role(cluster, role, is_granted=False)


@pytest.mark.parametrize("instance", [1, 2])
def test_a_change_of_a_role_s_settings_counts_for_new_sessions(
    front: RunningFront, cluster: Cluster, mapped: str, instance: int
) -> None:
    """Also when it was made on another instance; sessions from before keep what they had, as long as they can."""
    name = sql.Identifier(mapped)
    before = front.connect(mapped)
    assert show(before, "work_mem") == "4MB"
    with cluster.connect(instance) as operator:
        for value in ("5MB", "6MB", "5MB"):
            operator.execute(sql.SQL("ALTER ROLE {} SET work_mem = {}").format(name, value))
            with front.connect(mapped) as after:
                assert show(after, "work_mem") == value
                after.execute("SET work_mem = '9MB'")
                after.execute("RESET work_mem")
                assert show(after, "work_mem") == value
        operator.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
        with front.connect(mapped) as after:
            assert show(after, "work_mem") == "4MB"
    before.close()


@pytest.mark.parametrize("instance", [1, 2])
def test_a_change_of_the_database_s_settings_counts_for_new_sessions(
    front: RunningFront, cluster: Cluster, instance: int
) -> None:
    """For the administrator as well, of whom Postgres is not asked each time. What the client brings goes before."""
    with cluster.connect(instance) as operator:
        try:
            for value in ("Asia/Tokyo", "Europe/Paris"):
                operator.execute(sql.SQL("ALTER DATABASE postgres SET TimeZone = {}").format(value))
                with front.connect() as after:
                    assert after.info.parameter_status("TimeZone") == value
                    assert show(after, "TimeZone") == value
                os.environ["PGTZ"] = "Africa/Cairo"
                with front.connect() as chosen:
                    assert show(chosen, "TimeZone") == "Africa/Cairo"
                    chosen.execute("SET TimeZone = 'UTC'")
                    chosen.execute("RESET TimeZone")
                    assert show(chosen, "TimeZone") == "Africa/Cairo"
                del os.environ["PGTZ"]
        finally:
            os.environ.pop("PGTZ", None)
            operator.execute("ALTER DATABASE postgres RESET TimeZone")
    with front.connect() as after:
        assert show(after, "TimeZone") == "UTC"

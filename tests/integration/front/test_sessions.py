"""Ordinary clients on sessions that share two backends."""

from __future__ import annotations

import select
import struct
import threading

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import DiagnosticField

from borealis.front.messages import query
from borealis.wire.handover import CancelRequest
from tests.cluster import Cluster, Connection
from tests.integration.front.raw_client import RawClient
from tests.integration.front.running_front import FRONT_ID, RunningFront, StartFront


def backend_of(connection: Connection) -> object:
    return connection.execute("SELECT pg_backend_pid()").fetchone()


def test_many_sessions_use_few_backends(front: RunningFront) -> None:
    connections = [front.connect() for _ in range(20)]
    backends = {backend_of(connection) for _ in range(3) for connection in connections}
    assert len(backends) <= 2
    for connection in connections:
        connection.close()


def test_the_client_sees_postgres(front: RunningFront, cluster: Cluster) -> None:
    with front.connect() as through, cluster.connect() as direct:
        names = ("server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone", "is_superuser")
        for name in names:
            assert through.info.parameter_status(name) == direct.info.parameter_status(name), name
        assert through.info.parameter_status("borealis.session_state") is None
        assert through.info.backend_pid >> 16 == FRONT_ID


def test_startup_parameters_count(front: RunningFront) -> None:
    options = {"options": "-c search_path=pg_catalog -c DateStyle=German", "application_name": "one"}
    with front.connect(**options) as one, front.connect() as other:
        for _ in range(2):
            assert one.execute("SHOW search_path").fetchone() == ("pg_catalog",)
            assert one.execute("SHOW application_name").fetchone() == ("one",)
            assert other.execute("SHOW search_path").fetchone() == ('"$user", public',)
        assert one.info.parameter_status("DateStyle") == "German, DMY"
        one.execute("SET search_path = public")
        one.execute("RESET search_path")
        assert one.execute("SHOW search_path").fetchone() == ("pg_catalog",)


def test_a_bad_startup_parameter_is_refused_as_postgres_does(front: RunningFront) -> None:
    with pytest.raises(psycopg.OperationalError, match='unrecognized configuration parameter "nonsense"'):
        front.connect(options="-c nonsense=1")


def test_pipelines(front: RunningFront, table: str) -> None:
    insert = sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(sql.Identifier(table))
    with front.connect() as one, front.connect(autocommit=False) as other:
        with one.pipeline():
            cursors = [one.execute("SELECT %s::int", (number,)) for number in range(500)]
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(500)]
        with other.pipeline():
            other.cursor().executemany(insert, [(number, "x") for number in range(1000)])
        other.commit()
        with pytest.raises(psycopg.errors.UndefinedColumn):
            ask_in_a_row(one, "SELECT 1", "SELECT nonsense", "SELECT 2")
        assert one.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone() == (1000,)


def ask_in_a_row(connection: Connection, *texts: str) -> None:
    """An error is raised where psycopg finds it: at the end, or before if the answer is here by then."""
    with connection.pipeline() as pipeline:
        for text in texts:
            connection.execute(text)  # type: ignore[call-overload]
        pipeline.sync()


def test_copy_both_ways(front: RunningFront, table: str) -> None:
    into = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    out = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with front.connect() as connection, front.connect() as other:
        with connection.cursor().copy(into) as copy:
            for number in range(50_000):
                copy.write_row((number, "y" * 40))
            assert other.execute("SELECT 1").fetchone() == (1,)
        with connection.cursor().copy(out) as copy:
            assert sum(1 for _ in copy.rows()) == 50_000
        with pytest.raises(psycopg.errors.UniqueViolation), connection.cursor().copy(into) as copy:
            copy.write_row((1, "again"))
        with pytest.raises(psycopg.errors.InvalidTextRepresentation), connection.cursor().copy(into) as copy:
            copy.write("nonsense\n" * 100_000)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_slow_reader_does_not_fill_the_front(front: RunningFront) -> None:
    """200 MB that the client does not read stay in Postgres."""
    before = resident_bytes(front)
    with front.connect() as connection, front.connect() as other:
        connection.pgconn.send_query(b"SELECT repeat('x', 20000) FROM generate_series(1, 10000)")
        connection.pgconn.set_single_row_mode()
        connection.pgconn.flush()
        select.select([connection.fileno()], [], [])
        for _ in range(100):
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert resident_bytes(front) - before < 8 << 20
        rows = 0
        while (result := connection.pgconn.get_result()) is not None:
            rows += result.ntuples
        assert rows == 10_000
    assert resident_bytes(front) - before < 8 << 20


def resident_bytes(front: RunningFront) -> int:
    with open(f"/proc/{front.process_id}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_large_parameter_passes(front: RunningFront) -> None:
    with front.connect() as connection:
        large = "z" * (20 << 20)
        assert connection.execute(
            "SELECT length(%s), %s::text = repeat('z', %s)", (large, large, len(large))
        ).fetchone() == (
            len(large),
            True,
        )


def test_cancel_ends_the_wait_for_a_backend(start_front: StartFront, table: str) -> None:
    """What stands in a queue is cancelled like what runs, and what was sent behind it is not."""
    front = start_front(backends_target=1, backends_max=1)
    with front.connect(autocommit=False) as holder, front.connect() as waiting, RawClient(front.entrance.port) as raw:
        insert = sql.SQL("INSERT INTO {} VALUES (1, 'x')").format(sql.Identifier(table))
        holder.execute("SELECT 1")
        for text in (insert.as_string(), "SELECT $1::int"):
            waiting.pgconn.send_query_params(text.encode(), [b"1"] if "$" in text else [])
            waiting.pgconn.flush()
            RawClient(front.entrance.port).close()  # it has been queued once others are greeted
            waiting.cancel_safe()
            result = waiting.pgconn.get_result()
            assert result is not None
            assert result.error_field(DiagnosticField.SQLSTATE) == b"57014"
            assert waiting.pgconn.get_result() is None
        raw.send(query("SELECT 1") + query("SELECT 22"))
        RawClient(front.entrance.port).close()
        process_id, secret = struct.unpack(">II", dict(raw.greeting)[b"K"])
        front.entrance.cancel(CancelRequest(process_id, secret))
        assert b"C57014\0" in dict(raw.read_until(b"Z"))[b"E"]
        holder.commit()
        assert b"22" in dict(raw.read_until(b"Z"))[b"D"]
        assert waiting.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone() == (0,)


def test_cancel_hits_the_query_of_its_session(front: RunningFront) -> None:
    with front.connect() as one, front.connect() as other:
        failed: list[BaseException] = []

        def sleep() -> None:
            try:
                one.execute("SELECT pg_sleep(60)")
            except psycopg.Error as error:
                failed.append(error)

        thread = threading.Thread(target=sleep)
        thread.start()
        while other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' "
            "AND state = 'active' AND pid <> pg_backend_pid()"
        ).fetchone() != (1,):
            pass
        other.cancel_safe()  # it is not doing anything
        one.cancel_safe()
        thread.join()
        assert isinstance(failed[0], psycopg.errors.QueryCanceled)
        assert one.execute("SELECT 1").fetchone() == (1,)
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_transactions_are_not_shared(front: RunningFront, table: str) -> None:
    insert = sql.SQL("INSERT INTO {} VALUES (%s)").format(sql.Identifier(table))
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    with front.connect(autocommit=False) as one, front.connect() as other:
        one.execute(insert, (1,))
        for _ in range(5):
            assert other.execute(count).fetchone() == (0,)
        one.rollback()
        one.execute(insert, (2,))
        one.commit()
        assert other.execute(count).fetchone() == (1,)


def test_a_client_that_leaves_in_a_transaction_leaves_nothing(front: RunningFront, table: str) -> None:
    insert = sql.SQL("INSERT INTO {} VALUES (%s)").format(sql.Identifier(table))
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    for number in range(10):
        connection = front.connect(autocommit=False)
        connection.execute("SET work_mem = '1MB'")
        connection.execute(insert, (number,))
        connection.close()
    with front.connect() as other:
        assert other.execute(count).fetchone() == (0,)
        assert other.execute("SHOW work_mem").fetchone() == ("4MB",)


def test_a_goodbye_comes_after_what_was_asked_for(front: RunningFront, table: str) -> None:
    insert = sql.SQL("INSERT INTO {} SELECT generate_series(1, 500)").format(sql.Identifier(table))
    connection = front.connect()
    connection.pgconn.send_query(insert.as_bytes(connection))
    connection.pgconn.flush()
    connection.close()
    with front.connect() as other:
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        while other.execute(count).fetchone() != (500,):
            pass

"""What a statement sees: everything that was acknowledged before it arrived, and need not wait for what came later.

Storage stands still here while others commit: what they have committed is acknowledged then, and not applied.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster, Connection
from tests.conftest import Connect
from tests.integration.sessions import in_background, wait_until_backend_waits

ADD = "UPDATE rows SET value = value + 1 WHERE key = 1"
READ = "SELECT value FROM rows WHERE key = 1"
ANSWER_S = 30

# Holds up a message without reading any table, until the other session calls itself something else.
HELD_BY = "SET application_name = 'holding'"
LET_GO = "SET application_name = 'done'"
HOLD = "SELECT hold()"
HOLD_UTILITY = "DO 'BEGIN PERFORM hold(); END'"
DEFINE_HOLD = """CREATE FUNCTION hold() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'holding') LOOP
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
    END LOOP;
END $$"""


@pytest.fixture(autouse=True)
def rows(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE rows (key integer PRIMARY KEY, value integer NOT NULL)")
    connection.execute("INSERT INTO rows VALUES (1, 0)")
    connection.execute(DEFINE_HOLD)  # type: ignore[arg-type]
    assert last_result(connection, READ) == 0
    return connection


@contextmanager
def storage_stands_still(cluster: Cluster) -> Iterator[None]:
    process = cluster.process_id("storage")
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def last_result(connection: Connection, message: str) -> object:
    """Sends the statements in one message; returns the value that the last one finds."""
    cursor = connection.execute(message)  # type: ignore[arg-type]
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def test_a_statement_waits_for_what_was_acknowledged_before_it_came(
    cluster: Cluster, rows: Connection, connect: Connect
) -> None:
    reader = connect()
    assert last_result(reader, READ) == 0
    with storage_stands_still(cluster):
        rows.execute(ADD)  # type: ignore[arg-type]
        answer = in_background(lambda: last_result(reader, READ))
        wait_until_backend_waits(cluster, reader)
        assert not answer.done()
    assert answer.result(ANSWER_S) == 1


def test_a_statement_does_not_wait_for_what_is_acknowledged_after_it_came(
    cluster: Cluster, rows: Connection, connect: Connect
) -> None:
    reader = connect()
    rows.execute(HELD_BY)  # type: ignore[arg-type]
    answer = in_background(lambda: last_result(reader, f"{HOLD}; {READ}"))
    wait_until_backend_waits(cluster, reader)
    with storage_stands_still(cluster):
        rows.execute(ADD)  # type: ignore[arg-type]
        rows.execute(LET_GO)  # type: ignore[arg-type]
        assert answer.result(ANSWER_S) == 0
    assert last_result(reader, READ) == 1


def test_the_second_transaction_of_a_message_sees_the_first(cluster: Cluster, connect: Connect) -> None:
    session = connect()
    with storage_stands_still(cluster):
        answer = in_background(lambda: last_result(session, f"BEGIN; {ADD}; COMMIT; {READ}"))
        wait_until_backend_waits(cluster, session)
        assert not answer.done()
    assert answer.result(ANSWER_S) == 1


@pytest.mark.parametrize(
    "message", [f"BEGIN; {HOLD}; COMMIT; {READ}", f"{HOLD_UTILITY}; {READ}"], ids=["transaction", "utility"]
)
def test_what_a_message_has_waited_for_is_seen(
    cluster: Cluster, rows: Connection, connect: Connect, message: str
) -> None:
    """By the message's next transaction, and after a statement that may have waited for a lock or a turn."""
    reader = connect()
    rows.execute(HELD_BY)
    answer = in_background(lambda: last_result(reader, message))
    wait_until_backend_waits(cluster, reader)
    with storage_stands_still(cluster):
        rows.execute(ADD)
        rows.execute(LET_GO)
        with cluster.connect_superuser() as superuser:
            query = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'Extension'"
            while superuser.execute(query, [reader.info.backend_pid]).fetchone() is None:
                assert not answer.done()
    assert answer.result(ANSWER_S) == 1


def test_a_later_message_of_the_transaction_counts(cluster: Cluster, rows: Connection, connect: Connect) -> None:
    """BEGIN takes no snapshot, the first statement that reads does."""
    reader = connect(autocommit=False)
    reader.execute("SELECT 1")
    with storage_stands_still(cluster):
        rows.execute(ADD)  # type: ignore[arg-type]
        answer = in_background(lambda: last_result(reader, READ))
        wait_until_backend_waits(cluster, reader)
        assert not answer.done()
    assert answer.result(ANSWER_S) == 1

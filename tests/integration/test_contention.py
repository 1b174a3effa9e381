"""Transactions that meet on a row: pauses that are no locks, and snapshots that move forward.

A transaction that is about to change a row which is newer than its snapshot moves to a newer one, if everything that it
has read is the same there; otherwise it stays where it is and its COMMIT fails. Either way no update is lost.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.cluster import Cluster, Connection
from tests.conftest import Connect
from tests.integration.sessions import in_background, wait_until_backend_waits

CONFLICT = psycopg.errors.SerializationFailure


@pytest.fixture(autouse=True)
def rows(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE rows (key integer PRIMARY KEY, value integer NOT NULL, other integer)")
    connection.execute("CREATE INDEX ON rows (other)")
    connection.execute("INSERT INTO rows SELECT n, 0, n % 10 FROM generate_series(1, 100) n")
    connection.execute("CREATE TABLE children (parent integer REFERENCES rows, name text)")
    connection.execute("ANALYZE rows")
    return connection


@pytest.fixture
def session(connect: Connect) -> Connection:
    """The one whose snapshot may move."""
    connection = connect(autocommit=False)
    connection.execute("SET SESSION borealis.contention_wait = 0")
    # the table is small: it would be read as a whole for a few rows
    connection.execute("SET SESSION enable_seqscan = off")
    connection.commit()
    return connection


@pytest.fixture(params=[1, 2])
def other(connect: Connect, request: pytest.FixtureRequest) -> Connection:
    """Commits at once, on the same instance or another one."""
    return connect(instance=request.param)


def add(connection: Connection, key: int, amount: int = 1) -> None:
    connection.execute("UPDATE rows SET value = value + %s WHERE key = %s", [amount, key])


def overtake(connection: Connection, key: int) -> None:
    """Commits a change that everybody can see afterwards: a read waits until storage has applied it."""
    add(connection, key, 10)
    value(connection, key)


def value(connection: Connection, key: int) -> object:
    row = connection.execute("SELECT value FROM rows WHERE key = %s", [key]).fetchone()
    assert row is not None
    return row[0]


READS_THAT_STAY_THE_SAME = {
    "nothing but another row": "SELECT value FROM rows WHERE key = 1",
    "a few rows": "SELECT value FROM rows WHERE key IN (1, 2, 3)",
    "a short range": "SELECT value FROM rows WHERE key BETWEEN 5 AND 9",
    "a row that is not there": "SELECT value FROM rows WHERE key = 1000",
    "another row, to lock it": "SELECT value FROM rows WHERE key = 1 FOR UPDATE",
    "an update of another row": "UPDATE rows SET value = 7 WHERE key = 1",
    "a new row": "INSERT INTO rows VALUES (1001, 0, 0)",
    "a child, which looks at its parent": "INSERT INTO children VALUES (1, 'a')",
}


@pytest.mark.parametrize("read", READS_THAT_STAY_THE_SAME.values(), ids=READS_THAT_STAY_THE_SAME)
def test_the_snapshot_moves_when_nothing_that_was_read_has_changed(
    session: Connection, other: Connection, read: str
) -> None:
    session.execute(read)  # type: ignore[arg-type]
    overtake(other, 50)
    add(session, 50)
    assert value(session, 50) == 11
    session.commit()
    assert value(other, 50) == 11


def test_it_moves_again_and_again(session: Connection, other: Connection) -> None:
    assert value(session, 1) == 0
    for key in range(50, 60):
        overtake(other, key)
        add(session, key)
    session.commit()
    assert other.execute("SELECT DISTINCT value FROM rows WHERE key BETWEEN 50 AND 59").fetchall() == [(11,)]


# What the session reads, what the other one then changes besides row 50.
READS_THAT_DO_NOT = {
    "the row itself": ("SELECT value FROM rows WHERE key = 50", "SELECT"),
    "a row that changes": ("SELECT value FROM rows WHERE key = 1", "UPDATE rows SET value = 1 WHERE key = 1"),
    "a row that goes": ("SELECT value FROM rows WHERE key = 1", "DELETE FROM rows WHERE key = 1"),
    "a row that comes": ("SELECT value FROM rows WHERE key = 1000", "INSERT INTO rows VALUES (1000, 0, 0)"),
    "a range that a row comes into": (
        "SELECT value FROM rows WHERE key BETWEEN 200 AND 300",
        "INSERT INTO rows VALUES (250, 0, 0)",
    ),
    "an index range": ("SELECT key FROM rows WHERE other = 20", "UPDATE rows SET other = 20 WHERE key = 3"),
    "everything": ("SELECT count(*) FROM rows", "SELECT"),
    "a key that is new to both": ("INSERT INTO rows VALUES (1000, 0, 0)", "INSERT INTO rows VALUES (1000, 0, 0)"),
    "a parent that goes": ("INSERT INTO children VALUES (1, 'a')", "DELETE FROM rows WHERE key = 1"),
}


@pytest.mark.parametrize(("read", "change"), READS_THAT_DO_NOT.values(), ids=READS_THAT_DO_NOT)
def test_it_stays_when_something_that_was_read_has_changed(
    session: Connection, other: Connection, read: str, change: str
) -> None:
    session.execute(read)  # type: ignore[arg-type]
    with other.transaction():
        add(other, 50, 10)
        other.execute(change)  # type: ignore[arg-type]
    value(other, 50)
    add(session, 50)
    assert value(session, 50) == 1
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()
    session.rollback()
    assert value(other, 50) == 10


def test_keys_that_an_earlier_transaction_found_free_were_read_too(session: Connection, other: Connection) -> None:
    """A load in key order remembers where the next committed key is, also for the next transaction."""
    session.execute("INSERT INTO rows SELECT n, 0, 0 FROM generate_series(1000, 1002) n")
    session.rollback()
    session.execute("INSERT INTO rows VALUES (1003, 0, 0)")
    with other.transaction():
        add(other, 50, 10)
        other.execute("INSERT INTO rows VALUES (1003, 1, 1)")
    value(other, 50)
    add(session, 50)
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()


def test_it_stays_for_an_open_cursor_over_everything(session: Connection, other: Connection) -> None:
    with session.cursor("all_rows") as cursor:
        cursor.execute("SELECT key, value FROM rows ORDER BY key")
        first = cursor.fetchmany(10)
        overtake(other, 50)
        add(session, 50)
        assert [*first, *cursor.fetchall()] == [(key, 0) for key in range(1, 101)]
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()


def test_it_stays_after_a_change_of_the_schema(session: Connection, other: Connection) -> None:
    assert value(session, 1) == 0
    other.execute("ALTER TABLE rows ALTER other SET DEFAULT 5")
    overtake(other, 50)

    def change_and_commit() -> None:
        add(session, 50)
        session.commit()

    with pytest.raises(CONFLICT, match="OC001"):
        change_and_commit()


def test_a_transaction_with_schema_changes_stays(session: Connection, other: Connection) -> None:
    session.execute("CREATE TABLE new (a integer)")
    overtake(other, 50)
    add(session, 50)
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()


def test_schema_changes_after_a_move_reach_everybody(session: Connection, connect: Connect) -> None:
    """Whether the snapshot may move once counted the schema changes so far, and what came later was never shipped."""
    other = connect()
    value(session, 1)
    overtake(other, 50)
    add(session, 50)
    session.execute("CREATE TABLE later AS SELECT 1 AS key")
    session.commit()
    for instance in (1, 2):
        assert connect(instance).execute("SELECT key FROM later").fetchall() == [(1,)]


def test_it_stays_when_told_to(session: Connection, other: Connection) -> None:
    session.execute("SET LOCAL borealis.advance_snapshots = off")
    assert value(session, 1) == 0
    overtake(other, 50)
    add(session, 50)
    assert value(session, 50) == 1
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()


def test_the_first_to_commit_wins_after_both_have_read(session: Connection, other: Connection) -> None:
    add(session, 50)
    add(other, 50, 10)
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()
    session.rollback()
    assert value(session, 50) == 10


def test_rows_that_a_savepoint_forgot_were_read_all_the_same(session: Connection, other: Connection) -> None:
    session.execute("SAVEPOINT s")
    assert value(session, 1) == 0
    session.execute("ROLLBACK TO s")
    with other.transaction():
        add(other, 1, 10)
        add(other, 50, 10)
    value(other, 50)
    add(session, 50)
    with pytest.raises(CONFLICT, match="OC000"):
        session.commit()


# Pauses


@pytest.fixture
def patient(connect: Connect) -> Connection:
    """Would pause for as long as it may."""
    connection = connect(autocommit=False)
    connection.execute("SET SESSION borealis.contention_wait = '1s'")
    connection.commit()
    return connection


def test_who_comes_second_waits_a_moment_and_works_on_what_the_first_has_done(
    cluster: Cluster, connect: Connect, patient: Connection
) -> None:
    first = connect(autocommit=False)
    assert value(patient, 1) == 0
    add(first, 50)
    second = in_background(lambda: add(patient, 50))
    wait_until_backend_waits(cluster, patient)
    first.commit()
    second.result()
    patient.commit()
    assert value(first, 50) == 2


def test_a_rollback_ends_the_pause(cluster: Cluster, connect: Connect, patient: Connection) -> None:
    first = connect(autocommit=False)
    add(first, 50)
    second = in_background(lambda: add(patient, 50))
    wait_until_backend_waits(cluster, patient)
    first.rollback()
    second.result()
    patient.commit()
    assert value(first, 50) == 1


def test_nobody_waits_for_a_session_that_does_nothing(connect: Connect, patient: Connection) -> None:
    """The pause ends by itself, and who has paused may be the first to commit."""
    first = connect(autocommit=False)
    add(first, 50)
    add(patient, 50, 10)
    patient.commit()
    with pytest.raises(CONFLICT, match="OC000"):
        first.commit()
    first.rollback()
    assert value(first, 50) == 10


def test_two_that_wait_for_each_other_go_on(connect: Connect, patient: Connection) -> None:
    first = connect(autocommit=False)
    first.execute("SET LOCAL borealis.contention_wait = '1s'")
    add(first, 50)
    add(patient, 60)
    second = in_background(lambda: add(patient, 50))
    add(first, 60)
    second.result()
    first.commit()
    with pytest.raises(CONFLICT, match="OC000"):
        patient.commit()


def test_a_pause_can_be_cancelled(cluster: Cluster, connect: Connect, patient: Connection) -> None:
    first = connect(autocommit=False)
    add(first, 50)
    second = in_background(lambda: add(patient, 50))
    wait_until_backend_waits(cluster, patient)
    patient.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled):
        second.result()
    patient.rollback()
    first.commit()
    add(patient, 50)
    patient.commit()
    assert value(first, 50) == 2


# Plans


def test_a_whole_key_is_looked_up_however_small_the_table_is(rows: Connection) -> None:
    plan = rows.execute("EXPLAIN (COSTS OFF) UPDATE rows SET value = 1 WHERE key = 1").fetchall()
    assert ("  ->  Index Scan using rows_pkey on rows",) in plan


def test_a_unique_key_of_another_collation_is_found_in_another_way(rows: Connection) -> None:
    """The index cannot be used for it, but one that a join could use is there."""
    rows.execute("CREATE TABLE named (name text PRIMARY KEY, key integer)")
    rows.execute("CREATE INDEX ON named (key)")
    rows.execute("INSERT INTO named SELECT 'n' || n, n FROM generate_series(1, 100) n")
    rows.execute("ANALYZE named")
    query = "SELECT key FROM rows JOIN named USING (key) WHERE name = 'n7' COLLATE \"POSIX\""
    assert rows.execute(query).fetchall() == [(7,)]

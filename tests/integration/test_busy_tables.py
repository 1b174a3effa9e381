"""Schema changes that read a whole table get their turn, however busy the others keep it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from psycopg import errors

from tests.cluster import Cluster, Connection
from tests.conftest import Connect
from tests.integration.sessions import in_background, wait_until_backend_waits
from tests.integration.waiting import wait_until

ROWS = 400
WRITERS = 4
# Each writer has done so much before the change, and again after it.
UPDATES = 30


class Writers:
    """Sessions that change rows of the table all the time, half of them on each instance. Conflicts are retried."""

    def __init__(self, connect: Connect) -> None:
        self._stop = threading.Event()
        self._done = [0] * WRITERS
        connections = [connect(number % 2 + 1) for number in range(WRITERS)]
        self._pool = ThreadPoolExecutor(WRITERS)
        self._running: list[Future[None]] = [
            self._pool.submit(self._write, number, connection) for number, connection in enumerate(connections)
        ]

    def _write(self, number: int, connection: Connection) -> None:
        """The rows of a writer are its own; all writers write all pages of the table."""
        key = number
        while not self._stop.is_set():
            try:
                connection.execute("UPDATE busy SET value = value + 1, word = 'w' || value WHERE key = %s", (key,))
            except errors.SerializationFailure:
                continue
            self._done[number] += 1
            key = (key + WRITERS) % ROWS

    def wait_for_progress(self) -> None:
        goal = [done + UPDATES for done in self._done]
        wait_until(
            lambda: (
                any(each.done() for each in self._running)
                or all(done >= wanted for done, wanted in zip(self._done, goal, strict=True))
            ),
            "every writer has written",
        )

    def stop(self) -> int:
        """The number of updates that were acknowledged."""
        self._stop.set()
        for each in self._running:
            each.result()
        self._pool.shutdown()
        return sum(self._done)


@pytest.fixture
def table(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE busy (key int PRIMARY KEY, value int NOT NULL, word text)")
    connection.execute("INSERT INTO busy SELECT n, 0, 'w' FROM generate_series(0, %s) n", (ROWS - 1,))
    return connection


@pytest.fixture
def writers(connect: Connect, table: Connection) -> Iterator[Writers]:  # noqa: ARG001 - it must be there
    writers = Writers(connect)
    writers.wait_for_progress()
    yield writers
    writers.stop()


CHANGES = {
    "an index": ("CREATE INDEX changed ON busy (value, key)",),
    "an index as a job": ("CREATE INDEX ASYNC changed ON busy (value, key)",),
    "a unique index": ("CREATE UNIQUE INDEX changed ON busy (value, key)",),
    "an index that is built again": ("CREATE INDEX changed ON busy (value, key)", "REINDEX INDEX changed"),
    "a table whose indexes are built again": (
        "CREATE INDEX changed ON busy (value, key)",
        "REINDEX TABLE busy",
    ),
    "a table that is rewritten": (
        "CREATE INDEX changed ON busy (value, key)",
        "ALTER TABLE busy ALTER value TYPE bigint",
    ),
    "a constraint that is checked": (
        "CREATE INDEX changed ON busy (value, key)",
        "ALTER TABLE busy ADD CONSTRAINT positive CHECK (value >= 0)",
    ),
    "another primary key": (
        "CREATE INDEX changed ON busy (value, key)",
        "ALTER TABLE busy DROP CONSTRAINT busy_pkey, ADD PRIMARY KEY (key)",
    ),
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_busy_table_succeeds_at_once(
    writers: Writers, connect: Connect, changes: tuple[str, ...]
) -> None:
    changer = connect(1)
    for change in changes:
        changer.execute(change)  # type: ignore[call-overload]
        writers.wait_for_progress()
    updates = writers.stop()
    for instance in (1, 2):
        connection = connect(instance)
        rows = connection.execute("SELECT key, value FROM busy ORDER BY key").fetchall()
        assert [key for key, _ in rows] == list(range(ROWS))
        assert sum(value for _, value in rows) == updates  # type: ignore[misc]
        connection.execute("SET enable_seqscan = off")
        plan = str(connection.execute("EXPLAIN SELECT key, value FROM busy WHERE value >= 0").fetchall())
        assert "changed" in plan
        found = connection.execute("SELECT key, value FROM busy WHERE value >= 0").fetchall()
        assert sorted(found) == rows  # type: ignore[type-var]


def test_a_transaction_that_has_read_something_else_gets_its_turn_too(
    writers: Writers, table: Connection, connect: Connect
) -> None:
    table.execute("CREATE TABLE quiet AS SELECT 1 AS key")
    writers.wait_for_progress()
    changer = connect(1, autocommit=False)
    assert changer.execute("SELECT * FROM quiet").fetchall() == [(1,)]
    writers.wait_for_progress()
    changer.execute("CREATE INDEX ON busy (value)")
    changer.commit()


UPDATE = "UPDATE busy SET value = value + 1 WHERE key = 7"


@pytest.mark.parametrize(
    "end", ["ROLLBACK", "SELECT pg_terminate_backend(pg_backend_pid())"], ids=["rolled back", "killed"]
)
def test_whoever_writes_elsewhere_waits_for_the_end_of_a_change(
    table: Connection, connect: Connect, cluster: Cluster, end: str
) -> None:
    changer, writer = connect(1, autocommit=False), connect(2)
    backend = changer.info.backend_pid
    changer.execute("CREATE INDEX ON busy (value)")
    writing = in_background(lambda: writer.execute(UPDATE))
    wait_until_backend_waits(cluster, writer, 2)
    if end == "ROLLBACK":
        changer.rollback()
    else:
        with cluster.connect_superuser(1) as superuser:
            superuser.execute("SELECT pg_terminate_backend(%s)", (backend,))
    writing.result()
    assert table.execute("SELECT value FROM busy WHERE key = 7").fetchone() == (1,)


def test_nobody_waits_for_a_change_that_does_not_end(table: Connection, connect: Connect) -> None:
    changer, writer = connect(1, autocommit=False), connect(2)
    changer.execute("CREATE INDEX ON busy (value)")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        writer.execute(UPDATE)
    changer.commit()
    writer.execute(UPDATE)
    assert table.execute("SELECT value FROM busy WHERE key = 7").fetchone() == (1,)


def test_whoever_may_not_change_a_table_does_not_hold_it(table: Connection, connect: Connect) -> None:
    """What a statement is refused for must not cost others anything before it is refused."""
    role = f"stranger_{os.getpid()}"
    table.execute(f"CREATE ROLE {role}")  # type: ignore[call-overload]
    table.execute(f"GRANT {role} TO admin")  # type: ignore[call-overload]
    try:
        table.execute(f"DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', current_schema()); END $$")  # type: ignore[call-overload]
        stranger, writer = connect(1, autocommit=False), connect(2)
        stranger.execute(f"SET LOCAL ROLE {role}")  # type: ignore[call-overload]
        stranger.execute("SAVEPOINT before")
        with pytest.raises(errors.InsufficientPrivilege):
            stranger.execute("CREATE INDEX ON busy (value)")
        stranger.execute("ROLLBACK TO before")
        writer.execute(UPDATE)
        assert table.execute("SELECT value FROM busy WHERE key = 7").fetchone() == (1,)
        stranger.rollback()
    finally:
        table.execute(f"DROP OWNED BY {role}")  # type: ignore[call-overload]
        table.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]

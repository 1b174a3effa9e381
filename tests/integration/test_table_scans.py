"""Scans of whole tables and of primary keys return each row once, as the transaction sees it, in both directions."""

from __future__ import annotations

import random

import psycopg
import pytest

from tests.cluster import Connection
from tests.conftest import Connect

Row = tuple[int, str]

# More versions of a key than a scan steps over, and more than a page of the map holds.
UPDATES = 60
WIDE = 400


def forward(connection: Connection) -> list[Row]:
    """As a scan of the table returns them: in the order of the key."""
    return connection.execute("SELECT id, v FROM items").fetchall()


def backward(connection: Connection) -> list[Row]:
    with connection.transaction():
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute("SET LOCAL enable_sort = off")
        return connection.execute("SELECT id, v FROM items ORDER BY id DESC").fetchall()


def scroll(connection: Connection) -> list[Row]:
    """To the end of the table and back, with a turn in between."""
    connection.execute("DECLARE walk SCROLL CURSOR FOR SELECT id, v FROM items")
    connection.execute("FETCH 3 FROM walk")
    connection.execute("FETCH BACKWARD 2 FROM walk")
    connection.execute("MOVE FORWARD ALL FROM walk")
    rows = connection.execute("FETCH BACKWARD ALL FROM walk").fetchall()
    connection.execute("CLOSE walk")
    return rows


def assert_holds(connection: Connection, expected: dict[int, str]) -> None:
    rows = sorted(expected.items())
    assert forward(connection) == rows
    assert backward(connection) == rows[::-1]
    with connection.transaction():
        assert scroll(connection) == rows[::-1]


@pytest.fixture
def session(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE items (id int PRIMARY KEY, v text)")
    return connection


def fill(connection: Connection, rows: dict[int, str]) -> None:
    with connection.cursor().copy("COPY items FROM STDIN") as copy:
        for row in rows.items():
            copy.write_row(row)


def test_snapshots_older_than_the_newest_version(session: Connection, connect: Connect) -> None:
    """Each reader began at another time, among many versions of a few keys, and keeps what it saw."""
    rows = {n: f"first {n}" for n in range(500)}
    fill(session, rows)
    readers = []
    for turn in range(UPDATES):
        for n in (0, 77, 78, 499):
            rows[n] = f"{turn} " + "w" * WIDE
            session.execute("UPDATE items SET v = %s WHERE id = %s", [rows[n], n])
        if turn % 20 == 0:
            session.execute("DELETE FROM items WHERE id = %s", [turn + 100])
            del rows[turn + 100]
            session.execute("INSERT INTO items VALUES (%s, 'late')", [1000 + turn])
            rows[1000 + turn] = "late"
            reader = connect(1 + turn // 20 % 2, autocommit=False)
            reader.execute("SELECT FROM items WHERE id = 1")
            readers.append((reader, dict(rows)))
    for reader, seen in readers:
        assert_holds(reader, seen)
    assert_holds(session, rows)


def test_rows_of_all_sizes(session: Connection) -> None:
    """Rows that are larger than a batch, or than a page of the map, between small and empty ones."""
    chance = random.Random(5)
    sizes = [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 1500, 2100, 4096, 70_000, 300_000, 2_000_000]
    rows = {n: chance.choice("abc") * chance.choice(sizes[:-1]) for n in range(300)}
    rows |= {1000 + n: "z" * size for n, size in enumerate(sizes)}
    fill(session, rows)
    assert_holds(session, rows)


def test_own_writes_among_committed_rows(session: Connection) -> None:
    rows = {n: f"row {n}" for n in range(0, 3000, 3)}
    fill(session, rows)
    with session.transaction():
        for n in range(0, 3000, 7):
            if n in rows:
                session.execute("UPDATE items SET v = 'changed' WHERE id = %s", [n])
                rows[n] = "changed"
            else:
                session.execute("INSERT INTO items VALUES (%s, 'own')", [n])
                rows[n] = "own"
        session.execute("DELETE FROM items WHERE id % 5 = 0")
        rows = {n: v for n, v in rows.items() if n % 5}
        assert_holds(session, rows)
    assert_holds(session, rows)


def test_a_scan_does_not_see_what_is_written_during_it(session: Connection) -> None:
    rows = {n: f"row {n}" for n in range(2000)}
    fill(session, rows)
    with session.transaction():
        session.execute("DECLARE walk CURSOR FOR SELECT id, v FROM items")
        seen = session.execute("FETCH 500 FROM walk").fetchall()
        session.execute("UPDATE items SET v = 'changed' WHERE id > 400")
        session.execute("DELETE FROM items WHERE id > 1500")
        session.execute("INSERT INTO items SELECT n, 'new' FROM generate_series(3000, 3100) n")
        seen += session.execute("FETCH ALL FROM walk").fetchall()
        assert seen == sorted(rows.items())
        raise psycopg.Rollback
    # one statement that meets its own new versions
    session.execute("UPDATE items SET id = id + 5000, v = v || '!'")
    assert_holds(session, {n + 5000: f"{v}!" for n, v in rows.items()})


def test_columns_that_came_and_went(session: Connection) -> None:
    fill(session, {n: f"row {n}" for n in range(100)})
    session.execute("ALTER TABLE items ADD COLUMN d numeric DEFAULT 1.5")
    session.execute("ALTER TABLE items ADD COLUMN e text")
    session.execute("INSERT INTO items VALUES (100, NULL, NULL, 'e')")
    session.execute("ALTER TABLE items DROP COLUMN v")
    session.execute("ALTER TABLE items ADD COLUMN f bigint NOT NULL DEFAULT 7")
    rows = session.execute("SELECT id, d::text, e, f FROM items ORDER BY id").fetchall()
    assert rows == [(n, "1.5", None, 7) for n in range(100)] + [(100, None, "e", 7)]
    descending = session.execute("SELECT id, d::text, e, f FROM items ORDER BY id DESC").fetchall()
    assert descending == rows[::-1]


def test_marks_are_returned_to(session: Connection) -> None:
    """A merge join goes back to the first of several equal keys, over and over."""
    fill(session, {n: f"row {n}" for n in range(3000)})
    session.execute("CREATE TABLE pairs (k int, n int, PRIMARY KEY (k, n))")
    session.execute("INSERT INTO pairs SELECT n / 3, n FROM generate_series(0, 8999) n")
    for setting in ("enable_hashjoin", "enable_nestloop", "enable_seqscan", "enable_sort", "enable_material"):
        session.execute(f"SET {setting} = off")  # type: ignore[arg-type]
    query = "SELECT count(*), sum(p.n) FROM pairs o JOIN pairs p ON p.k = o.k JOIN items i ON i.id = p.k"
    assert session.execute(query).fetchone() == (27_000, 3 * sum(range(9000)))

"""A table with rows gets a primary key: they are written once more, in its order, and the old ones go as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import errors

from tests.cluster import Cluster, Connection
from tests.conftest import judge
from tests.integration.catalog_view import compare_instances
from tests.integration.commit_proxy import CommitProxy

ROWS = 500
SECONDARY = 2


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    cluster = Cluster(instances=2)
    try:
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        cluster.close()


@pytest.fixture
def wire(own_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[CommitProxy]:
    with CommitProxy(own_cluster.directory.run) as proxy:
        yield proxy
    judge(own_cluster, request)


@pytest.fixture
def one(own_cluster: Cluster, wire: CommitProxy) -> Iterator[Connection]:  # noqa: ARG001 - sessions are to meet it
    with own_cluster.connect(1) as connection:
        connection.execute("CREATE SCHEMA added")
        connection.execute("SET search_path = added")
        yield connection
        connection.execute("DROP SCHEMA added CASCADE")


@pytest.fixture
def two(own_cluster: Cluster, one: Connection) -> Iterator[Connection]:  # noqa: ARG001 - after it
    with own_cluster.connect(2) as connection:
        connection.execute("SET search_path = added")
        yield connection


def load(connection: Connection) -> None:
    """Rows in an order that is not the key's."""
    connection.execute("CREATE TABLE items (id int, word text, number int)")
    connection.execute("CREATE INDEX items_word ON items (word) INCLUDE (number)")
    connection.execute("CREATE UNIQUE INDEX items_number ON items (number) WHERE number >= 0")
    connection.execute(
        "INSERT INTO items SELECT n * 7919 %% 100003, 'word ' || n %% 10, n FROM generate_series(1, %s) n", (ROWS,)
    )


def assert_sound(connection: Connection, rows: int = ROWS) -> None:
    """Table and indexes hold the same rows, and the key finds each of them."""
    everything = connection.execute("SELECT id, word, number FROM items ORDER BY number").fetchall()
    assert len(everything) == rows
    with connection.transaction():
        connection.execute("SET LOCAL enable_seqscan = off")
        by_key = connection.execute("SELECT id, word, number FROM items WHERE id >= 0 ORDER BY id").fetchall()
        by_word = connection.execute("SELECT word, number FROM items WHERE word >= '' ORDER BY word").fetchall()
        by_number = connection.execute("SELECT number FROM items WHERE number >= 0 ORDER BY number").fetchall()
    assert by_key == sorted(everything)  # type: ignore[type-var]
    assert sorted(by_word) == sorted((word, number) for _, word, number in everything)  # type: ignore[type-var]
    assert by_number == [(number,) for _, _, number in everything]


def test_every_row_is_written_once(own_cluster: Cluster, wire: CommitProxy, one: Connection, two: Connection) -> None:
    load(one)
    one.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
    assert wire.writes[-1] == ROWS * (1 + SECONDARY)
    for connection in (one, two):
        assert_sound(connection)
        with pytest.raises(errors.UniqueViolation):
            connection.execute("INSERT INTO items SELECT id, 'again', -1 FROM items LIMIT 1")
        with pytest.raises(errors.UniqueViolation):
            connection.execute("INSERT INTO items VALUES (-1, 'again', 1)")
    two.execute("DELETE FROM items WHERE number <= 100")
    two.execute("UPDATE items SET id = -id, word = 'moved' WHERE number > 400")
    two.execute("UPDATE items SET id = -id, word = word || '!' WHERE id < 0")
    for connection in (one, two):
        assert_sound(connection, ROWS - 100)
    assert compare_instances(own_cluster) == []


def test_with_everything_in_one_transaction(wire: CommitProxy, one: Connection, two: Connection) -> None:
    with one.transaction():
        load(one)
        one.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
        assert_sound(one)
        one.execute("INSERT INTO items VALUES (200000, 'last', 200000)")
    assert wire.writes[-1] == (ROWS + 1) * (1 + SECONDARY)
    for connection in (one, two):
        assert_sound(connection, ROWS + 1)


def test_rows_of_the_same_transaction_come_along(one: Connection, two: Connection) -> None:
    load(one)
    with one.transaction():
        one.execute("DELETE FROM items WHERE number <= 50")
        one.execute("UPDATE items SET word = 'updated' WHERE number <= 100")
        one.execute("INSERT INTO items SELECT 300000 + n, 'new', 1000 + n FROM generate_series(1, 50) n")
        one.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
        assert_sound(one)
        one.execute("UPDATE items SET number = number + 100000 WHERE number <= 100")
    for connection in (one, two):
        assert_sound(connection)
        assert connection.execute(
            "SELECT count(*) FROM items WHERE word = 'updated' AND number > 100000"
        ).fetchone() == (50,)


@pytest.mark.parametrize("end", ["ROLLBACK", "ROLLBACK TO before; COMMIT"], ids=["transaction", "savepoint"])
def test_a_key_that_is_rolled_back_leaves_the_rows_where_they_were(one: Connection, two: Connection, end: str) -> None:
    load(one)
    one.execute("BEGIN; SAVEPOINT before; ALTER TABLE items ADD PRIMARY KEY (id)")
    assert_sound(one)
    one.execute(end)  # type: ignore[call-overload]
    for connection in (one, two):
        assert_sound(connection)
    for connection in (one, two):
        connection.execute("INSERT INTO items SELECT id, word, -1 FROM items WHERE number = 5")
    assert two.execute("DELETE FROM items WHERE number = -1").rowcount == 2
    two.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
    assert_sound(one)


def test_rows_that_have_no_key_of_their_own_are_refused(one: Connection, two: Connection) -> None:
    load(one)
    one.execute("INSERT INTO items SELECT id, 'again', -1 FROM items LIMIT 1")
    with pytest.raises(errors.UniqueViolation):
        one.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
    two.execute("DELETE FROM items WHERE number = -1")
    assert_sound(one)


def test_another_key_in_the_place_of_the_first(own_cluster: Cluster, one: Connection, two: Connection) -> None:
    load(one)
    one.execute("ALTER TABLE items ADD CONSTRAINT first PRIMARY KEY (id)")
    one.execute("CREATE TABLE children (parent int REFERENCES items)")
    one.execute("INSERT INTO children SELECT id FROM items")
    one.execute("DROP TABLE children")
    two.execute("ALTER TABLE items DROP CONSTRAINT first, ADD CONSTRAINT second PRIMARY KEY (number, id)")
    for connection in (one, two):
        assert_sound(connection)
    one.execute("REINDEX TABLE items")
    one.execute("ALTER TABLE items ALTER id TYPE bigint, ALTER number TYPE bigint")
    for connection in (one, two):
        assert_sound(connection)
    assert compare_instances(own_cluster) == []


def test_each_partition_is_ordered_by_it(one: Connection, two: Connection) -> None:
    one.execute("CREATE TABLE items (id int, word text, number int) PARTITION BY RANGE (id)")
    one.execute("CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (50000)")
    one.execute("CREATE TABLE high PARTITION OF items DEFAULT")
    one.execute("CREATE INDEX items_word ON items (word)")
    one.execute("CREATE INDEX items_number ON items (number)")
    one.execute(
        "INSERT INTO items SELECT n * 7919 %% 100003, 'word ' || n %% 10, n FROM generate_series(1, %s) n", (ROWS,)
    )
    one.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
    for connection in (one, two):
        assert_sound(connection)

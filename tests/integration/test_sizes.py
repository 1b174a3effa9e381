"""Sizes of tables and indexes: what pg_relation_size and its relatives say, counted by storage."""

from __future__ import annotations

import pytest

from tests.cluster import Connection
from tests.conftest import Connect
from tests.integration.waiting import wait_until

ROWS = 500


@pytest.fixture
def table(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE sized (key int PRIMARY KEY, number int, word text, extra text)")
    connection.execute("CREATE INDEX plain ON sized (number)")
    connection.execute("CREATE INDEX covering ON sized (number, word) INCLUDE (extra)")
    connection.execute("CREATE INDEX partial ON sized (word) WHERE number % 2 = 0")
    connection.execute("CREATE UNIQUE INDEX alone ON sized (word, key)")
    connection.execute(
        "INSERT INTO sized SELECT n, n, 'word ' || n, repeat('x', n) FROM generate_series(1, %s) n", (ROWS,)
    )
    return connection


INDEXES = {
    "plain": "(number)",
    "covering": "(number, word) INCLUDE (extra)",
    "partial": "(word) WHERE number % 2 = 0",
    "alone": "(word, key)",
}


def size(connection: Connection, relation: str, function: str = "pg_relation_size") -> int:
    row = connection.execute(f"SELECT {function}(%s)", (relation,)).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return int(row[0])


def test_the_sizes_of_indexes_add_up(table: Connection) -> None:
    def add_up() -> bool:
        indexes = [size(table, index) for index in INDEXES]
        return (
            all(size > ROWS * 4 // 2 for size in indexes)
            and sum(indexes) == size(table, "sized", "pg_indexes_size")
            and size(table, "sized", "pg_total_relation_size") == sum(indexes) + size(table, "sized")
        )

    wait_until(add_up, "storage has counted")
    assert size(table, "sized_pkey") == 0, "it holds the rows, and is counted as the table"


CHANGES = {
    "nothing": ("SELECT",),
    "rows that go": ("DELETE FROM sized WHERE key % 3 = 0",),
    "all rows go": ("DELETE FROM sized",),
    "values that are in no key": ("UPDATE sized SET extra = 'shorter' WHERE key % 2 = 0",),
    "keys": ("UPDATE sized SET number = number + 1, word = word || '!' WHERE key % 5 = 0",),
    "rows that move": ("UPDATE sized SET key = key + 10000 WHERE key < 50",),
    "one row again and again": (
        "UPDATE sized SET extra = 'a' WHERE key = 7",
        "UPDATE sized SET extra = 'abcdef' WHERE key = 7",
        "UPDATE sized SET word = 'other' WHERE key = 7",
        "UPDATE sized SET word = 'word 7' WHERE key = 7",
    ),
    "rows that come and go": (
        "INSERT INTO sized VALUES (20000, 2, 'passing', 'x')",
        "UPDATE sized SET word = 'passed' WHERE key = 20000",
        "DELETE FROM sized WHERE key = 20000",
    ),
    "a row in place of another": (
        "DELETE FROM sized WHERE key = 8",
        "INSERT INTO sized VALUES (8, 8, 'word 8', 'new')",
    ),
    "whatever was in it": ("TRUNCATE sized", "INSERT INTO sized VALUES (1, 1, 'one', 'x'), (2, 2, 'two', 'y')"),
}


@pytest.mark.parametrize("in_one_transaction", [True, False], ids=["one transaction", "many"])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_an_index_that_has_changed_is_as_large_as_a_new_one(
    table: Connection, changes: tuple[str, ...], in_one_transaction: bool
) -> None:
    if in_one_transaction:
        with table.transaction():
            for change in changes:
                table.execute(change)  # type: ignore[call-overload]
    else:
        for change in changes:
            table.execute(change)  # type: ignore[call-overload]
    for index, definition in INDEXES.items():
        kind = "UNIQUE INDEX" if index == "alone" else "INDEX"
        table.execute(f"CREATE {kind} new_{index} ON sized {definition}")  # type: ignore[call-overload]

    def are_equal() -> bool:
        return all(size(table, index) == size(table, f"new_{index}") for index in INDEXES)

    wait_until(are_equal, "storage has counted the same for both")
    if changes == CHANGES["all rows go"]:
        assert all(size(table, index) == 0 for index in INDEXES)

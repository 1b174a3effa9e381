"""ANALYZE of a table that is larger than its sample: pages are chosen all over it, and the others passed over."""

from __future__ import annotations

import pytest

from tests.cluster import Connection
from tests.conftest import Connect

ROWS = 100_000
# The sample has 300 rows for each of them; the table promises some three thousand blocks.
TARGET = 4


@pytest.fixture
def large(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE large (id int PRIMARY KEY, half int, filler text)")
    connection.execute("INSERT INTO large SELECT n, n %% 2, repeat('x', 200) FROM generate_series(1, %s) n", (ROWS,))
    connection.execute(f"SET default_statistics_target = {TARGET}")
    return connection


def row_count(connection: Connection) -> float:
    row = connection.execute("SELECT reltuples FROM pg_class WHERE relname = 'large'").fetchone()
    assert row is not None
    return float(row[0])  # type: ignore[arg-type]


def bounds(connection: Connection, column: str) -> list[int]:
    query = "SELECT histogram_bounds::text::int[] FROM pg_stats WHERE tablename = 'large' AND attname = %s"
    row = connection.execute(query, (column,)).fetchone()
    assert row is not None
    return list(row[0])  # type: ignore[call-overload]


def assert_even(connection: Connection, last: int) -> None:
    """The sample's quantiles are those of the table, within what its size allows."""
    found = bounds(connection, "id")
    assert len(found) == TARGET + 1
    for number, bound in enumerate(found):
        assert abs(bound - last * number / TARGET) < last * 0.08


def test_the_sample_is_spread_over_the_whole_table(large: Connection) -> None:
    large.execute("ANALYZE large")
    assert abs(row_count(large) - ROWS) < ROWS * 0.05
    assert_even(large, ROWS)
    row = large.execute(
        "SELECT n_distinct, most_common_freqs[1] FROM pg_stats WHERE tablename = 'large' AND attname = 'half'"
    ).fetchone()
    assert row is not None
    assert row[0] == 2
    assert abs(float(row[1]) - 0.5) < 0.08  # type: ignore[arg-type]


def test_deleted_rows_are_not_counted(large: Connection) -> None:
    """Their versions may lie in pages yet that are sampled."""
    large.execute("DELETE FROM large WHERE id > %s", (ROWS // 2,))
    large.execute("ANALYZE large")
    assert abs(row_count(large) - ROWS / 2) < ROWS * 0.05
    assert_even(large, ROWS // 2)


def test_rows_of_the_own_transaction_count(large: Connection) -> None:
    with large.transaction():
        large.execute("INSERT INTO large SELECT n, 2, 'new' FROM generate_series(%s, %s) n", (ROWS + 1, 2 * ROWS))
        large.execute("ANALYZE large")
        assert abs(row_count(large) - 2 * ROWS) < ROWS * 0.1
        assert_even(large, 2 * ROWS)

"""A transaction reads what another one sees, on its own instance or on another: pg_export_snapshot, SET TRANSACTION
SNAPSHOT."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.cluster import Connection
from tests.conftest import Connect


@pytest.fixture(autouse=True)
def items(connect: Connect) -> None:
    connection = connect()
    connection.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
    connection.execute("INSERT INTO items VALUES (1, 'old'), (2, 'old')")


def export(connection: Connection) -> str:
    row = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None
    assert isinstance(row[0], str)
    return row[0]


def read_at(connection: Connection, snapshot: str) -> list[tuple[object, ...]]:
    """Begins a transaction there, and leaves it open."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")  # type: ignore[arg-type]
    return connection.execute("SELECT * FROM items ORDER BY id").fetchall()


@pytest.mark.parametrize("instance", [1, 2])
def test_rows_are_those_of_the_exporting_transaction(connect: Connect, instance: int) -> None:
    exporter, writer, reader = connect(1, autocommit=False), connect(2), connect(instance)
    exporter.execute("INSERT INTO items VALUES (3, 'not committed')")
    snapshot = export(exporter)
    writer.execute("UPDATE items SET word = 'new' WHERE id = 1")
    writer.execute("DELETE FROM items WHERE id = 2")
    assert read_at(reader, snapshot) == [(1, "old"), (2, "old")]
    exporter.commit()
    assert reader.execute("SELECT count(*) FROM items").fetchone() == (2,)
    reader.rollback()
    assert reader.execute("SELECT * FROM items ORDER BY id").fetchall() == [(1, "new"), (3, "not committed")]


def test_a_shared_snapshot_does_not_move(connect: Connect) -> None:
    """Others do, before they change a row that is newer, if nothing that they have read is."""
    exporter, importer, writer = connect(1, autocommit=False), connect(1), connect(2)
    snapshot = export(exporter)
    read_at(importer, snapshot)
    importer.rollback()
    importer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    importer.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")  # type: ignore[arg-type]
    writer.execute("UPDATE items SET word = 'new' WHERE id = 1")
    for session in (exporter, importer):
        session.execute("UPDATE items SET word = word || '!' WHERE id = 1")
        with pytest.raises(errors.SerializationFailure, match="OC000"):
            session.execute("COMMIT")


def test_another_schema_is_a_conflict(connect: Connect) -> None:
    exporter, importer = connect(1, autocommit=False), connect(2)
    snapshot = export(exporter)
    connect(2).execute("ALTER TABLE items ADD COLUMN more int")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        read_at(importer, snapshot)


@pytest.mark.parametrize(
    ("snapshot", "error"),
    [
        ("00000003-0000001B-1", errors.InvalidParameterValue),
        ("", errors.InvalidParameterValue),
        ("7FFFFFFFFFFFFFFF-00000001", errors.UndefinedObject),  # in the future
    ],
)
def test_a_snapshot_that_is_none_is_refused(connect: Connect, snapshot: str, error: type[psycopg.Error]) -> None:
    importer = connect()
    with pytest.raises(error):
        read_at(importer, snapshot)
    importer.rollback()
    assert importer.execute("SELECT count(*) FROM items").fetchone() == (2,)


def test_it_comes_before_the_first_query_and_not_from_a_savepoint(connect: Connect) -> None:
    exporter, importer = connect(1, autocommit=False), connect(2)
    snapshot = export(exporter)
    importer.execute("BEGIN; SELECT count(*) FROM items")
    with pytest.raises(errors.ActiveSqlTransaction, match="before any query"):
        importer.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")  # type: ignore[arg-type]
    importer.rollback()
    exporter.execute("SAVEPOINT inner_")
    with pytest.raises(errors.ActiveSqlTransaction, match="subtransaction"):
        export(exporter)

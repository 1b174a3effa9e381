"""What a cluster cannot carry is refused with 0A000, a sentence and a hint; its harmless neighbours work."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.conftest import Connect

SETUP = """
CREATE TABLE items (id int PRIMARY KEY, tags int[], area int4range, spot point);
CREATE MATERIALIZED VIEW summary AS SELECT id FROM items;
CREATE UNIQUE INDEX ON summary (id);
CREATE TABLE parts (id int) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
"""

REFUSED = [
    # indexes that would be built in local files
    "CREATE INDEX ON items USING gin (tags)",
    "CREATE INDEX ON items USING gist (area)",
    "CREATE INDEX ON items USING spgist (spot)",
    "CREATE INDEX ON items USING brin (id)",
    "CREATE INDEX ON items USING hash (id)",
    "CREATE INDEX ON parts USING hash (id)",
    "CREATE TABLE excluded (area int4range, EXCLUDE USING gist (area WITH &&))",
    "CREATE TABLE excluded (id int, EXCLUDE USING btree (id WITH =))",
    "ALTER TABLE items ADD CONSTRAINT apart EXCLUDE USING gist (area WITH &&)",
    # heap rewrites and heap reads
    "CLUSTER items USING items_pkey",
    "CLUSTER",
    "VACUUM FULL items",
    "VACUUM (FULL) items",
    "VACUUM FULL",
    "VACUUM FULL items, missing",
    "SELECT * FROM items TABLESAMPLE system (10)",
    "SELECT (SELECT count(*) FROM items TABLESAMPLE bernoulli (10))",
    "WITH few AS (SELECT * FROM items TABLESAMPLE system (10)) SELECT * FROM few",
    # waiting for other sessions
    "CREATE INDEX CONCURRENTLY ON items (id)",
    "DROP INDEX CONCURRENTLY items_pkey",
    "REINDEX TABLE CONCURRENTLY items",
    "REINDEX (CONCURRENTLY) INDEX items_pkey",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY summary",
    "ALTER TABLE parts DETACH PARTITION part CONCURRENTLY",
    "LOCK TABLE items IN SHARE MODE",
    "LOCK TABLE items",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_lock(1, 2)",
    "SELECT pg_advisory_xact_lock_shared(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1, 2)",
    # what would be on one instance only
    "LISTEN channel",
    "NOTIFY channel",
    "SELECT pg_notify('channel', 'text')",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_unlink(1)",
    "CREATE TABLE local (id int) USING heap",
    "CREATE TABLE local USING heap AS SELECT 1 AS id",
    "CREATE MATERIALIZED VIEW local USING heap AS SELECT 1 AS id",
    "ALTER TABLE items SET ACCESS METHOD heap",
    "CREATE TEMPORARY TABLE local (id int) USING borealis",
    # the cluster's own affairs
    "CREATE DATABASE other",
    "DROP DATABASE other",
    "CREATE TABLESPACE other LOCATION '/nonexistent'",
    "ALTER SYSTEM SET work_mem = '8MB'",
    "CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler",
    "CREATE SUBSCRIPTION other CONNECTION 'host=none' PUBLICATION p WITH (connect = false)",
    "REINDEX SYSTEM postgres",
    "REINDEX TABLE pg_catalog.pg_class",
    "PREPARE TRANSACTION 'two phase'",
    # isolation
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET default_transaction_isolation = 'serializable'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
]

NEEDS_BLOCK = ("LOCK TABLE", "SET TRANSACTION")

ACCEPTED = [
    "UNLISTEN *",
    "SELECT pg_advisory_unlock_all()",
    "BEGIN; LOCK TABLE items IN ACCESS SHARE MODE; COMMIT",
    "BEGIN; LOCK TABLE items IN ROW EXCLUSIVE MODE; COMMIT",
    "REINDEX TABLE items",
    "REINDEX INDEX items_pkey",
    "REFRESH MATERIALIZED VIEW summary",
    "ALTER TABLE parts DETACH PARTITION part",
    "VACUUM items",
    "VACUUM ANALYZE items",
    "CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)",
    "CREATE TEMPORARY TABLE mine (area int4range, EXCLUDE USING gist (area WITH &&))",
    "CREATE TEMPORARY TABLE mine (area int4range); CREATE INDEX ON mine USING hash (area)",
    "CREATE TEMPORARY TABLE sampled AS SELECT 1 AS id; SELECT * FROM sampled TABLESAMPLE system (100)",
    "CREATE TEMPORARY TABLE clustered (id int PRIMARY KEY); CLUSTER clustered USING clustered_pkey",
    "CREATE TEMPORARY TABLE fat (id int PRIMARY KEY); VACUUM FULL fat; VACUUM (FULL, ANALYZE) fat, fat",
    "CREATE TEMPORARY TABLE again (id int PRIMARY KEY); REINDEX TABLE CONCURRENTLY again",
    "CREATE TEMPORARY TABLE again (id int PRIMARY KEY); REINDEX INDEX CONCURRENTLY again_pkey",
    "CREATE TEMPORARY TABLE bare (id int); CREATE INDEX CONCURRENTLY i ON bare (id); DROP INDEX CONCURRENTLY i",
    "SET search_path = pg_temp; CREATE TABLE by_path (id int); RESET search_path",
]


@pytest.fixture
def connection(connect: Connect) -> psycopg.Connection[tuple[object, ...]]:
    connection = connect()
    connection.execute(SETUP)
    return connection


@pytest.mark.parametrize("statement", REFUSED)
def test_statement_is_refused_with_a_hint(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    if statement.startswith(NEEDS_BLOCK):
        connection.execute("BEGIN")
    with pytest.raises(errors.FeatureNotSupported) as refusal:
        connection.execute(statement)
    assert refusal.value.diag.message_primary
    assert refusal.value.diag.message_hint
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (0,)


@pytest.mark.parametrize("statements", ACCEPTED)
def test_neighbour_of_a_refused_statement_works(
    connection: psycopg.Connection[tuple[object, ...]], statements: str
) -> None:
    for statement in statements.split("; "):
        connection.execute(statement)


@pytest.mark.parametrize("level", ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("way", ["BEGIN ISOLATION LEVEL {}", "BEGIN; SET TRANSACTION ISOLATION LEVEL {}"])
def test_weaker_isolation_is_given_repeatable_read(connect: Connect, level: str, way: str) -> None:
    reader, writer = connect(), connect(instance=2)
    writer.execute("CREATE TABLE counters (id int PRIMARY KEY, value int)")
    writer.execute("INSERT INTO counters VALUES (1, 1)")
    for statement in way.format(level).split("; "):
        reader.execute(statement)
    assert reader.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
    assert reader.execute("SELECT value FROM counters").fetchone() == (1,)
    writer.execute("UPDATE counters SET value = 2")
    assert reader.execute("SELECT value FROM counters").fetchone() == (1,)
    reader.rollback()
    assert reader.execute("SELECT value FROM counters").fetchone() == (2,)


def test_temporary_tables_are_heap_tables_whatever_the_default(connect: Connect) -> None:
    connection = connect()
    for made_by in (
        "CREATE TEMPORARY TABLE made (id int)",
        "CREATE TEMPORARY TABLE made AS SELECT 1 AS id",
        "SELECT 1 AS id INTO TEMPORARY made",
        "CREATE TABLE pg_temp.made (id int)",
    ):
        connection.execute(made_by)
        method = connection.execute(
            "SELECT amname FROM pg_class c JOIN pg_am a ON relam = a.oid WHERE relname = 'made'"
        )
        assert method.fetchone() == ("heap",), made_by
        connection.execute("DROP TABLE made")


def test_permanent_object_cannot_depend_on_a_temporary_one(connect: Connect) -> None:
    connection = connect()
    connection.execute("CREATE TEMPORARY SEQUENCE numbers")
    with pytest.raises(errors.FeatureNotSupported, match="cannot depend on a temporary object"):
        connection.execute("CREATE TABLE numbered (id int DEFAULT nextval('numbers'))")
    assert connection.execute("SELECT to_regclass('numbered')").fetchone() == (None,)


def test_statement_may_make_more_objects_than_are_reserved_at_once(connect: Connect) -> None:
    """Each serial column is a sequence, a default and their dependencies: over a thousand identifiers."""
    connection = connect()
    columns = ", ".join(f"c{n} serial" for n in range(300))
    connection.execute(f"CREATE TABLE wide ({columns})")  # type: ignore[arg-type]
    assert connection.execute("SELECT count(*) FROM pg_sequences WHERE sequencename LIKE 'wide%'").fetchone() == (300,)

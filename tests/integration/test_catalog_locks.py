"""Nobody waits long for a lock of another session: who is in the way of a schema change loses the transaction, and no
more than that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from tests.cluster import Cluster, Connection
from tests.conftest import Connect
from tests.integration.catalog_view import compare_instances
from tests.integration.waiting import wait_until

# Holds a lock on the table while it runs.
LONG_STATEMENT = "SELECT pg_sleep(300) FROM items"

# What holds locks on `items` at the time of the change: read it, write it, read it inside a savepoint.
BLOCKS = {
    "reader": ("SELECT * FROM items",),
    "writer": ("INSERT INTO items VALUES (2)",),
    "savepoint": ("SELECT 1", "SAVEPOINT inner_", "SELECT * FROM items"),
    "cursor": ("DECLARE held CURSOR FOR SELECT * FROM items", "FETCH held"),
}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(autouse=True)
def items(connect: Connect) -> None:
    connection = connect()
    connection.execute("CREATE TABLE items (id int PRIMARY KEY)")
    connection.execute("INSERT INTO items VALUES (1)")


def run(pool: ThreadPoolExecutor, connection: Connection, statement: str) -> Future[object]:
    return pool.submit(connection.execute, statement)  # type: ignore[arg-type]


def wait_until_it_sleeps(cluster: Cluster, instance: int, connection: Connection) -> None:
    with cluster.connect_superuser(instance) as observer:
        wait_until(
            lambda: (
                observer.execute(
                    "SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (connection.info.backend_pid,)
                ).fetchone()
                == ("PgSleep",)
            ),
            "the statement runs",
        )


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
def test_running_statement_is_cancelled(
    connect: Connect, cluster: Cluster, pool: ThreadPoolExecutor, changer: int
) -> None:
    victim, other = connect(1), connect(1)
    running = run(pool, victim, LONG_STATEMENT)
    wait_until_it_sleeps(cluster, 1, victim)
    connect(changer).execute("ALTER TABLE items ADD COLUMN word text")
    assert other.execute("SELECT * FROM items").fetchone() == (1, None)
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        running.result()
    assert victim.execute("SELECT * FROM items").fetchone() == (1, None)


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
def test_running_statement_in_a_savepoint_is_cancelled(
    connect: Connect, cluster: Cluster, pool: ThreadPoolExecutor, changer: int
) -> None:
    victim, other = connect(1, autocommit=False), connect(1)
    victim.execute("SELECT * FROM items")
    victim.execute("SAVEPOINT inner_")
    running = run(pool, victim, LONG_STATEMENT)
    wait_until_it_sleeps(cluster, 1, victim)
    connect(changer).execute("DROP TABLE items")
    assert other.execute("SELECT to_regclass('items')").fetchone() == (None,)
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        running.result()
    victim.rollback()
    victim.execute("SELECT 1")


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
@pytest.mark.parametrize("block", BLOCKS)
def test_idle_transaction_hears_of_it_at_its_next_statement(connect: Connect, block: str, changer: int) -> None:
    victim, other = connect(1, autocommit=False), connect(1)
    for statement in BLOCKS[block]:
        victim.execute(statement)  # type: ignore[call-overload]
    connect(changer).execute("DROP TABLE items")
    assert other.execute("SELECT to_regclass('items')").fetchone() == (None,)
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        victim.execute("SELECT * FROM items")
    victim.rollback()
    with pytest.raises(errors.UndefinedTable):
        victim.execute("SELECT * FROM items")


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
def test_idle_transaction_hears_of_it_at_commit(connect: Connect, changer: int) -> None:
    victim = connect(1, autocommit=False)
    victim.execute("INSERT INTO items VALUES (2)")
    connect(changer).execute("ALTER TABLE items ADD COLUMN word text")
    connect(1).execute("SELECT * FROM items")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        victim.commit()
    assert victim.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert victim.execute("SELECT id FROM items").fetchall() == [(1,)]


def test_rollback_of_a_dislodged_transaction_is_quiet(connect: Connect) -> None:
    victim = connect(1, autocommit=False)
    victim.execute("INSERT INTO items VALUES (2)")
    connect(1).execute("ALTER TABLE items ADD COLUMN word text")
    victim.rollback()
    victim.execute("INSERT INTO items VALUES (3)")
    victim.commit()
    assert victim.execute("SELECT id FROM items ORDER BY id").fetchall() == [(1,), (3,)]


def test_copy_that_waits_for_its_client_loses_the_session(connect: Connect) -> None:
    """The server cannot cancel a statement while it reads from the client."""
    victim, other = connect(1), connect(1)

    def copy_while_the_table_is_dropped() -> None:
        with victim.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
            copy.write_row((2,))
            connect(2).execute("DROP TABLE items")
            assert other.execute("SELECT to_regclass('items')").fetchone() == (None,)

    with pytest.raises(errors.SerializationFailure, match="OC001"):
        copy_while_the_table_is_dropped()
    assert victim.closed


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
def test_idle_schema_change_gives_way_to_one_that_commits(connect: Connect, cluster: Cluster, changer: int) -> None:
    """Both make the same table, so that one waits for the other's row in pg_class."""
    victim, other = connect(1, autocommit=False), connect(1)
    victim.execute("CREATE TABLE fresh (id int)")
    if changer == 1:
        with pytest.raises(errors.SerializationFailure, match="OC001"):
            connect(changer).execute("CREATE TABLE fresh (other int)")
        victim.commit()
    else:
        connect(changer).execute("CREATE TABLE fresh (other int)")
        assert other.execute("SELECT count(*) FROM fresh").fetchone() == (0,)
        with pytest.raises(errors.SerializationFailure, match="OC001"):
            victim.commit()
    victim.execute("SELECT * FROM fresh")
    victim.rollback()
    assert compare_instances(cluster, with_built_in=False) == []


def test_of_two_changes_of_a_table_the_second_gives_up(connect: Connect) -> None:
    first, second = connect(1, autocommit=False), connect(1)
    first.execute("ALTER TABLE items ADD COLUMN one int")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        second.execute("ALTER TABLE items ADD COLUMN two int")
    first.commit()
    second.execute("ALTER TABLE items ADD COLUMN two int")


def test_two_changes_that_wait_for_each_other_are_a_conflict(connect: Connect, pool: ThreadPoolExecutor) -> None:
    """PostgreSQL calls it a deadlock; who retries conflicts need not know of those."""
    first, second = connect(1, autocommit=False), connect(1, autocommit=False)
    with connect(1) as creator:
        creator.execute("CREATE TABLE others (id int)")
    first.execute("ALTER TABLE items ADD COLUMN one int")
    second.execute("ALTER TABLE others ADD COLUMN one int")
    crossing = [
        run(pool, first, "ALTER TABLE others ADD COLUMN two int"),
        run(pool, second, "ALTER TABLE items ADD COLUMN two int"),
    ]
    failures = [failure for failure in (change.exception() for change in crossing) if failure]
    assert failures
    for failure in failures:
        assert isinstance(failure, errors.SerializationFailure)
        assert "OC001" in str(failure)


def test_query_waits_for_a_change_that_is_about_to_commit(
    connect: Connect, pool: ThreadPoolExecutor, cluster: Cluster
) -> None:
    changer, reader = connect(1, autocommit=False), connect(1)
    changer.execute("ALTER TABLE items ADD COLUMN word text DEFAULT 'x'")
    waiting = run(pool, reader, "SELECT * FROM items")
    with cluster.connect_superuser(1) as observer:
        wait_until(
            lambda: (
                observer.execute(
                    "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", (reader.info.backend_pid,)
                ).fetchone()
                == ("Lock",)
            ),
            "the query waits",
        )
    changer.commit()
    cursor = waiting.result()
    assert isinstance(cursor, psycopg.Cursor)
    assert cursor.fetchall() == [(1, "x")]


def test_query_gives_up_waiting_for_a_change_that_stays_open(connect: Connect) -> None:
    changer, reader = connect(1, autocommit=False), connect(1)
    changer.execute("ALTER TABLE items ADD COLUMN word text")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        reader.execute("SELECT * FROM items")
    changer.commit()
    assert reader.execute("SELECT * FROM items").fetchone() == (1, None)


STATISTICS_OF_ITEMS = "UPDATE pg_statistic SET stanullfrac = stanullfrac WHERE starelid = %s"


def test_statistics_that_change_under_an_analyze_are_a_conflict(
    connect: Connect, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """The worker writes the statistics of other instances without a lock on the table, so ANALYZE may find rows of
    pg_statistic changed that it is about to change: "tuple concurrently updated", an internal error in PostgreSQL."""
    analyzer = connect(1)
    analyzer.execute("ANALYZE items")
    found = analyzer.execute("SELECT 'items'::regclass::oid").fetchone()
    assert found is not None
    with cluster.connect_superuser(1, autocommit=False) as worker, cluster.connect_superuser(1) as observer:
        worker.execute("SET allow_system_table_mods = on")
        assert worker.execute(STATISTICS_OF_ITEMS, found).rowcount == 1
        waiting = run(pool, analyzer, "ANALYZE items")
        wait_until(
            lambda: (
                observer.execute(
                    "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'transactionid' AND NOT granted",
                    (analyzer.info.backend_pid,),
                ).fetchone()
                == (1,)
            ),
            "ANALYZE waits for the row",
        )
        worker.commit()
        with pytest.raises(errors.SerializationFailure, match="OC001"):
            waiting.result()
    analyzer.execute("ANALYZE items")


# Fails as the server does that finds a relation gone which it has just looked up, once another session says so.
FAILS_LATER = """
CREATE FUNCTION fails_later() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'fail now');
        PERFORM pg_sleep(0.005);
    END LOOP;
    RAISE 'could not open relation with OID 12345' USING ERRCODE = 'XX000';
END $$
"""


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
def test_an_internal_error_while_the_schema_changes_is_a_conflict(
    connect: Connect, cluster: Cluster, pool: ThreadPoolExecutor, changer: int
) -> None:
    """A statement that has read no table yet has no read timestamp that would tell which catalogs it began with."""
    victim, signal = connect(1), connect(1)
    victim.execute(FAILS_LATER)
    running = run(pool, victim, "SELECT fails_later()")
    wait_until_it_sleeps(cluster, 1, victim)
    connect(changer).execute("ALTER TABLE items ADD COLUMN word text")
    assert signal.execute("SELECT * FROM items").fetchone() == (1, None)
    signal.execute("SET application_name = 'fail now'")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        running.result()


def test_an_internal_error_in_peace_stays_one(connect: Connect, cluster: Cluster) -> None:
    victim = connect(1)
    victim.execute(FAILS_LATER)
    cluster.expect_log(r"XX000 ERROR: .*could not open relation with OID 12345")
    connect(1).execute("SET application_name = 'fail now'")
    with pytest.raises(errors.InternalError_, match="12345"):
        victim.execute("SELECT fails_later()")

"""A query may have workers only when they see all that its transaction sees: never beside what it has written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from tests.cluster import Cluster, Connection
from tests.conftest import Connect
from tests.integration.instance_settings import change_settings
from tests.integration.sessions import in_background
from tests.integration.waiting import wait_until

ROWS = 20_000
SUM = ROWS * (ROWS + 1) // 2
QUERY = "SELECT count(*), sum(a) FROM numbers"

# The planner takes workers whenever it may.
EAGER = (
    "SET parallel_setup_cost = 0",
    "SET parallel_tuple_cost = 0",
    "SET min_parallel_table_scan_size = 0",
    "SET min_parallel_index_scan_size = 0",
)


@pytest.fixture
def session(connect: Connect) -> Connection:
    """A session that uses workers, and a table `numbers` (id, a, b) with a = id."""
    connection = eager(connect)
    connection.execute("CREATE TABLE numbers (id int PRIMARY KEY, a bigint NOT NULL, b text)")
    connection.execute(f"INSERT INTO numbers SELECT n, n, 'row ' || n FROM generate_series(1, {ROWS}) n")  # type: ignore[arg-type]
    connection.execute("CREATE INDEX ON numbers (a)")
    connection.execute("ANALYZE numbers")
    return connection


def eager(connect: Connect, instance: int = 1) -> Connection:
    connection = connect(instance)
    for setting in EAGER:
        connection.execute(setting)  # type: ignore[arg-type]
    return connection


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def nodes(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    yield plan
    for child in plan.get("Plans", []):  # type: ignore[attr-defined]
        yield from nodes(child)


def explain(connection: Connection, query: str, options: str = "ANALYZE") -> list[dict[str, object]]:
    row = connection.execute(f"EXPLAIN ({options}, FORMAT json) {query}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    plans = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(nodes(plans[0]["Plan"]))


def workers(connection: Connection, query: str = QUERY) -> int:
    return sum(int(str(node.get("Workers Launched", 0))) for node in explain(connection, query))


def result(connection: Connection, query: str = QUERY) -> tuple[object, ...]:
    row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row


def test_a_query_of_a_transaction_that_has_written_nothing_has_workers(session: Connection) -> None:
    assert workers(session) > 0
    assert result(session) == (ROWS, SUM)
    with session.transaction():
        assert result(session) == (ROWS, SUM)
        assert workers(session) > 0


WRITES = {
    "insert": ("INSERT INTO numbers VALUES (0, 1000, 'new')", (ROWS + 1, SUM + 1000)),
    "update": ("UPDATE numbers SET a = a + 5 WHERE id = 7", (ROWS, SUM + 5)),
    "delete": ("DELETE FROM numbers WHERE id = 7", (ROWS - 1, SUM - 7)),
    "lock": ("SELECT FROM numbers WHERE id = 7 FOR UPDATE", (ROWS, SUM)),
    "other table": ("CREATE TABLE another (x int)", (ROWS, SUM)),
}


@pytest.mark.parametrize("write", WRITES)
def test_after_a_write_there_are_none_and_the_write_is_seen(session: Connection, write: str) -> None:
    statement, expected = WRITES[write]
    with session.transaction():
        session.execute(statement)  # type: ignore[arg-type]
        assert workers(session) == 0
        assert result(session) == expected
        raise psycopg.Rollback
    assert workers(session) > 0
    assert result(session) == (ROWS, SUM)


@pytest.mark.parametrize("write", ["insert", "update", "delete"])
def test_a_plan_made_before_the_write_runs_without_workers(session: Connection, write: str) -> None:
    """The plan of a prepared statement is made once; whether it may have workers is another question each time."""
    statement, expected = WRITES[write]
    session.execute("SET plan_cache_mode = force_generic_plan")
    session.execute(f"PREPARE counting AS {QUERY}")  # type: ignore[arg-type]
    assert workers(session, "EXECUTE counting") > 0
    with session.transaction():
        assert result(session, "EXECUTE counting") == (ROWS, SUM)
        session.execute(statement)  # type: ignore[arg-type]
        plan = explain(session, "EXECUTE counting")
        assert [node["Workers Planned"] for node in plan if "Workers Planned" in node], "the plan is the old one"
        assert sum(int(str(node.get("Workers Launched", 0))) for node in plan) == 0
        assert result(session, "EXECUTE counting") == expected
    assert workers(session, "EXECUTE counting") > 0
    assert result(session, "EXECUTE counting") == expected


def test_what_a_savepoint_took_back_does_not_count(session: Connection) -> None:
    with session.transaction():
        session.execute("SAVEPOINT before")
        session.execute("DELETE FROM numbers WHERE id <= 10")
        assert workers(session) == 0
        assert result(session) == (ROWS - 10, SUM - 55)
        session.execute("SAVEPOINT inner_")
        session.execute("RELEASE inner_")
        assert result(session) == (ROWS - 10, SUM - 55)
        session.execute("ROLLBACK TO before")
        assert result(session) == (ROWS, SUM)
        session.execute("DELETE FROM numbers WHERE id = 3")
        session.execute("SAVEPOINT after")
        session.execute("DELETE FROM numbers WHERE id = 4")
        session.execute("ROLLBACK TO after")
        assert workers(session) == 0
        assert result(session) == (ROWS - 1, SUM - 3)


def test_a_cursor_opened_before_a_write_goes_on_as_it_began(session: Connection) -> None:
    with session.transaction():
        session.execute("DECLARE walk CURSOR FOR SELECT a FROM numbers")
        first = session.execute("FETCH 100 FROM walk").fetchall()
        session.execute("UPDATE numbers SET a = 0 WHERE id % 2 = 0")
        session.execute("DELETE FROM numbers WHERE id % 3 = 0")
        rest = session.execute("FETCH ALL FROM walk").fetchall()
        assert sum(row[0] for row in first + rest) == SUM
        raise psycopg.Rollback


def test_loops_in_functions_may_write_while_they_read(session: Connection) -> None:
    session.execute("CREATE TABLE copies (id int PRIMARY KEY, a bigint)")
    session.execute(
        "DO $$ DECLARE r record; BEGIN"
        " FOR r IN SELECT id, a FROM numbers LOOP INSERT INTO copies VALUES (r.id, r.a); END LOOP;"
        " IF (SELECT count(*) FROM copies) <> (SELECT count(*) FROM numbers) THEN RAISE 'rows are missing'; END IF;"
        " END $$"
    )
    assert result(session, "SELECT count(*), sum(a) FROM copies") == (ROWS, SUM)


BREAKERS = {
    "delete": "DELETE FROM numbers WHERE id = n",
    "insert": "INSERT INTO numbers VALUES (-n, 0, '')",
    "lock": "PERFORM FROM numbers WHERE id = n FOR UPDATE",
}


@pytest.mark.parametrize("breaker", BREAKERS)
def test_a_function_that_lies_about_writing_is_refused(session: Connection, cluster: Cluster, breaker: str) -> None:
    """As by Postgres, in workers and in the leader beside them."""
    session.execute(
        f"CREATE FUNCTION lies(n int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN"  # type: ignore[arg-type]
        f" {BREAKERS[breaker]}; RETURN 1; END $$"
    )
    cluster.expect_log("during a parallel operation|in a parallel worker")
    with pytest.raises((errors.InvalidTransactionState, errors.InternalError_)):
        session.execute("SELECT sum(lies(id)) FROM numbers WHERE b LIKE 'row 1%'")
    assert result(session) == (ROWS, SUM)


def test_workers_read_at_the_time_of_their_leader(session: Connection, connect: Connect) -> None:
    writer = connect(2)
    with session.transaction():
        assert result(session, "SELECT a FROM numbers WHERE id = 1") == (1,)
        writer.execute("UPDATE numbers SET a = a + 1")
        writer.execute("DELETE FROM numbers WHERE id % 2 = 0")
        writer.execute("INSERT INTO numbers SELECT n, 0, '' FROM generate_series(-1000, -1) n")
        assert workers(session) > 0
        assert result(session) == (ROWS, SUM)
    odd = ROWS // 2
    assert workers(session) > 0
    assert result(session) == (odd + 1000, odd * odd + odd)


def test_every_row_comes_once(session: Connection) -> None:
    """Whatever the sizes of rows and the number of versions: keys at the borders of pieces above all."""
    session.execute("CREATE TABLE uneven (id int PRIMARY KEY, v text)")
    session.execute(
        "INSERT INTO uneven SELECT n, repeat(chr(97 + n % 26), CASE WHEN n % 500 = 0 THEN 300000 ELSE n % 900 END)"
        " FROM generate_series(1, 8000) n"
    )
    for _ in range(30):
        session.execute("UPDATE uneven SET v = v || 'x' WHERE id % 97 = 0")
    query = "SELECT id, md5(v), length(v) FROM uneven WHERE length(v) >= 0"
    with session.transaction():
        session.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        serial = session.execute(query).fetchall()  # type: ignore[arg-type]
    for leader in ("on", "off"):
        with session.transaction():
            session.execute(f"SET LOCAL parallel_leader_participation = {leader}")  # type: ignore[arg-type]
            assert workers(session, query) > 0
            assert sorted(session.execute(query).fetchall()) == sorted(serial)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_small_tables(session: Connection, rows: int) -> None:
    session.execute("CREATE TABLE small (id int)")
    session.execute(f"INSERT INTO small SELECT generate_series(1, {rows})")  # type: ignore[arg-type]
    session.execute("SET debug_parallel_query = on")
    assert result(session, "SELECT count(*) FROM small") == (rows,)


def test_scans_that_are_repeated(session: Connection) -> None:
    """A Gather below a nested loop starts anew for each outer row."""
    session.execute("SET enable_hashjoin = off")
    session.execute("SET enable_mergejoin = off")
    session.execute("SET enable_material = off")
    query = "SELECT count(*), sum(s.c) FROM generate_series(1, 5) g, LATERAL ({}) s"
    inner = "SELECT count(*) AS c FROM numbers WHERE b LIKE 'row%' OFFSET 0"
    assert result(session, query.format(inner)) == (5, 5 * ROWS)


def test_bitmaps_are_not_shared(session: Connection) -> None:
    session.execute("SET enable_seqscan = off")
    session.execute("SET enable_indexscan = off")
    query = "SELECT count(b) FROM numbers WHERE a BETWEEN 10 AND 15000"
    plan = explain(session, query)
    bitmaps = [node for node in plan if node["Node Type"] == "Bitmap Heap Scan"]
    assert bitmaps
    assert not any(node["Parallel Aware"] for node in bitmaps)
    assert result(session, query) == (14_991,)


def test_joins_with_indexes_in_workers(session: Connection) -> None:
    session.execute("SET enable_hashjoin = off")
    session.execute("SET enable_mergejoin = off")
    query = "SELECT count(*), sum(m.a) FROM numbers n JOIN numbers m ON m.a = n.id WHERE n.b LIKE 'row 1%'"
    plan = explain(session, query)
    assert any(node["Node Type"] == "Gather" for node in plan)
    assert any(node["Node Type"] == "Index Scan" or node["Node Type"] == "Index Only Scan" for node in plan)
    ones = [n for n in range(1, ROWS + 1) if str(n).startswith("1")]
    assert result(session, query) == (len(ones), sum(ones))


def test_what_is_made_of_a_query_is_complete(session: Connection) -> None:
    session.execute("CREATE TABLE made AS SELECT a, count(*) FROM numbers GROUP BY a")
    session.execute("CREATE MATERIALIZED VIEW seen AS SELECT a FROM numbers WHERE b LIKE 'row%'")
    session.execute("REFRESH MATERIALIZED VIEW seen")
    session.execute("CREATE INDEX ON numbers (b)")
    session.execute("INSERT INTO made SELECT a + 1000000, 1 FROM numbers WHERE b LIKE 'row%'")
    assert result(session, "SELECT count(*) FROM made") == (2 * ROWS,)
    assert result(session, "SELECT count(*) FROM seen") == (ROWS,)
    with session.transaction():
        session.execute("SET LOCAL enable_seqscan = off")
        assert result(session, "SELECT count(*) FROM numbers WHERE b >= 'row'") == (ROWS,)


SLOW = "SELECT count(*) FROM numbers WHERE b LIKE 'row%' AND pg_sleep(0.05) IS NOT NULL"


def wait_for_workers(cluster: Cluster, leader: Connection, running: bool) -> None:
    with cluster.connect_superuser() as observer:

        def is_so() -> bool:
            row = observer.execute(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE leader_pid = %s AND pid <> leader_pid",
                [leader.info.backend_pid],
            ).fetchone()
            return row == (running,)

        wait_until(is_so, "workers run" if running else "the workers are gone")


@pytest.mark.parametrize("changer", [1, 2], ids=["same instance", "other instance"])
def test_a_schema_change_sends_workers_away(
    session: Connection, connect: Connect, cluster: Cluster, pool: ThreadPoolExecutor, changer: int
) -> None:
    other = connect(changer)
    query = pool.submit(session.execute, SLOW)
    wait_for_workers(cluster, session, running=True)
    other.execute("ALTER TABLE numbers ADD COLUMN c int")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        query.result()
    wait_for_workers(cluster, session, running=False)
    assert result(session, "SELECT count(*), count(c) FROM numbers") == (ROWS, 0)


def test_a_cancelled_query_takes_its_workers_along(session: Connection, cluster: Cluster) -> None:
    query = in_background(lambda: session.execute(SLOW))
    wait_for_workers(cluster, session, running=True)
    session.cancel()
    with pytest.raises(errors.QueryCanceled):
        query.result()
    wait_for_workers(cluster, session, running=False)
    assert workers(session) > 0


def test_the_age_limit_ends_a_query_with_workers(session: Connection, cluster: Cluster) -> None:
    change_settings(cluster, 1, {"borealis.transaction_age_limit": "1s"})
    try:
        with pytest.raises(errors.ProgramLimitExceeded, match="transaction age limit of 1s exceeded"):
            session.execute(SLOW)
        wait_for_workers(cluster, session, running=False)
    finally:
        change_settings(cluster, 1, {"borealis.transaction_age_limit": "5min"})
    assert result(session) == (ROWS, SUM)

"""A session goes on in another backend, and nothing of it stays behind."""

from __future__ import annotations

import struct

import psycopg
import pytest
from psycopg import errors

from tests.cluster import Cluster, Connection
from tests.conftest import Connect

BLANK = b""


def report(connection: Connection) -> str:
    value = connection.info.parameter_status("borealis.session_state")
    assert value is not None
    return value


def number(connection: Connection) -> str:
    return report(connection).removesuffix(" pinned")


def is_pinned(connection: Connection) -> bool:
    return report(connection).endswith(" pinned")


def value_of(connection: Connection, query: str) -> object:
    row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def export(connection: Connection) -> bytes:
    state = value_of(connection, "SELECT borealis.session_export()")
    assert isinstance(state, bytes)
    return state


def import_state(connection: Connection, state: bytes) -> None:
    connection.execute("SELECT borealis.session_import(%s)", [state])


def test_a_session_that_has_changed_nothing_has_no_state(connect: Connect) -> None:
    connection = connect()
    connection.execute("CREATE TABLE t (id int)")
    connection.execute("SELECT count(*) FROM t")
    with connection.transaction():
        connection.execute("SET LOCAL work_mem = '1MB'")
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("SELECT set_config('work_mem', '2MB', true)")
    assert (report(connection), export(connection)) == ("0.0", BLANK)


@pytest.mark.parametrize(
    ("statements", "question", "answer"),
    [
        (["SET work_mem = '12345kB'"], "SHOW work_mem", "12345kB"),
        (["SELECT set_config('work_mem', '12MB', false)"], "SHOW work_mem", "12MB"),
        (["SET seq_page_cost = 1.1"], "SHOW seq_page_cost", "1.1"),
        (["SET enable_seqscan = off"], "SHOW enable_seqscan", "off"),
        (["SET bytea_output = 'escape'"], "SHOW bytea_output", "escape"),
        (["SET search_path = '$user', \"a b\", pg_catalog"], "SHOW search_path", "\"$user\", \"a b\", pg_catalog"),
        (["SET app.tenant = 'nobody''s'"], "SELECT current_setting('app.tenant')", "nobody's"),
        (["SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE"], "SHOW timezone", "<-08>+08"),
        (["SET datestyle = 'german'"], "SELECT date '2024-02-01'::text", "01.02.2024"),
        (["SET NAMES 'latin1'"], "SHOW client_encoding", "LATIN1"),
        (["SET application_name = 'someone'"], "SHOW application_name", "someone"),
        (
            ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
            "SHOW default_transaction_read_only",
            "on",
        ),
        (["PREPARE q (int) AS SELECT $1 + 1"], "EXECUTE q (1)", 2),
        (["SELECT 1; PREPARE q AS SELECT 'a;b'; SELECT 2"], "EXECUTE q", "a;b"),
        (["PREPARE q AS VALUES (7)"], "SELECT string_agg(statement, '') FROM pg_prepared_statements WHERE from_sql",
         "PREPARE q AS VALUES (7)"),
        (["BEGIN", "PREPARE q AS VALUES (7)", "ROLLBACK"], "EXECUTE q", 7),
    ],
)  # fmt: skip
def test_state_follows_the_session(statements: list[str], question: str, answer: object, connect: Connect) -> None:
    one, two = connect(prepare_threshold=None), connect(prepare_threshold=None)
    for statement in statements:
        one.execute(statement)  # type: ignore[call-overload]
    assert number(one) != "0.0"
    assert not is_pinned(one)
    state = export(one)
    import_state(two, state)
    assert value_of(two, question) == answer
    assert export(two) == state

    import_state(two, BLANK)
    assert export(two) == BLANK
    three = connect(prepare_threshold=None)
    if "EXECUTE" in question:
        with pytest.raises(errors.InvalidSqlStatementName):
            two.execute(question)  # type: ignore[call-overload]
    elif "app.tenant" not in question:
        assert value_of(two, question) == value_of(three, question)


def test_the_role_follows_the_session(connect: Connect) -> None:
    one, two = connect(), connect()
    one.execute("CREATE ROLE follower")
    try:
        one.execute("GRANT follower TO admin")
        one.execute("SET ROLE follower")
        import_state(two, export(one))
        assert value_of(two, "SELECT current_user || ' ' || session_user") == "follower admin"
        import_state(two, BLANK)
        assert value_of(two, "SELECT current_user") == "admin"
        import_state(one, BLANK)
        one.execute("SET ROLE follower")
        state = export(one)
        two.execute("REVOKE follower FROM admin")
        two.execute("REVOKE ALL ON SCHEMA public FROM follower")
        three = connect()
        with pytest.raises(errors.InsufficientPrivilege, match="cannot go on in this backend"):
            import_state(three, state)
        assert three.closed
    finally:
        import_state(one, BLANK)
        one.execute("DROP ROLE follower")


def test_sequence_values_follow_the_session(connect: Connect) -> None:
    one, two = connect(), connect()
    one.execute("CREATE SEQUENCE first CACHE 5; CREATE SEQUENCE second")
    before = report(one)
    one.execute("SELECT nextval('first'), nextval('second'), nextval('second'), nextval('first')")
    assert report(one).split(".")[0] == before.split(".")[0]
    assert report(one) != before
    import_state(two, export(one))
    assert two.execute("SELECT currval('first'), currval('second'), lastval()").fetchone() == (2, 2, 2)
    assert value_of(two, "SELECT nextval('first')") == 6

    import_state(one, BLANK)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="lastval is not yet defined"):
        one.execute("SELECT lastval()")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is not yet defined in this session"):
        one.execute("SELECT currval('second')")
    # What the backend has fetched is not lost.
    assert value_of(one, "SELECT nextval('first')") == 3


def test_what_is_rolled_back_is_not_reported(connect: Connect) -> None:
    connection = connect(autocommit=False)
    connection.execute("SET work_mem = '12MB'")
    connection.rollback()
    assert report(connection) == "0.0"
    connection.execute("SET work_mem = '12MB'")
    with connection.transaction(force_rollback=True):
        connection.execute("SET work_mem = '13MB'")
    connection.commit()
    assert report(connection) == "1.0"
    connection.execute("RESET work_mem")
    connection.commit()
    assert report(connection) == "2.0"


def test_discarding_everything_is_noticed(connect: Connect) -> None:
    connection = connect()
    connection.execute("SET work_mem = '12MB'")
    connection.execute("PREPARE q AS SELECT 1")
    before = report(connection)
    connection.execute("DISCARD ALL")
    assert report(connection) != before
    assert export(connection) == BLANK


@pytest.mark.parametrize(
    ("pinning", "unpinning"),
    [
        (["CREATE TEMP TABLE t (id serial PRIMARY KEY, word text)"], ["DROP TABLE t"]),
        (["CREATE TEMP VIEW v AS SELECT 1"], ["DISCARD TEMP"]),
        (["CREATE FUNCTION pg_temp.one() RETURNS int LANGUAGE sql RETURN 1"], ["DROP FUNCTION pg_temp.one()"]),
        (["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "COMMIT"], ["CLOSE c"]),
        (["SELECT setseed(0.5)"], []),
        (["SET seed = 0.5"], []),
    ],
)
def test_what_cannot_move_pins_the_session(pinning: list[str], unpinning: list[str], connect: Connect) -> None:
    connection = connect()
    for statement in pinning:
        connection.execute(statement)  # type: ignore[call-overload]
    assert is_pinned(connection)
    if unpinning:
        for statement in unpinning:
            connection.execute(statement)  # type: ignore[call-overload]
        assert not is_pinned(connection)
        for statement in pinning:
            connection.execute(statement)  # type: ignore[call-overload]
        assert is_pinned(connection)
    import_state(connection, BLANK)
    assert not is_pinned(connection)
    assert value_of(connection, "SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0
    assert value_of(connection, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0


def test_temporary_tables_of_one_transaction_do_not_pin(connect: Connect) -> None:
    connection = connect(autocommit=False)
    for end in (connection.commit, connection.rollback):
        connection.execute("CREATE TEMP TABLE t (id serial PRIMARY KEY) ON COMMIT DROP")
        connection.execute("INSERT INTO t DEFAULT VALUES")
        end()
        assert not is_pinned(connection)
    connection.execute("CREATE TEMP TABLE kept (id int)")
    connection.commit()
    connection.execute("DROP TABLE kept")
    connection.rollback()
    assert is_pinned(connection)


def test_a_drop_that_fails_at_commit_leaves_the_session_pinned(connect: Connect) -> None:
    one, two = connect(autocommit=False), connect()
    two.execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")
    one.execute("CREATE TEMP TABLE kept (id int)")
    one.commit()
    one.execute("SELECT n FROM t FOR UPDATE")
    one.execute("DROP TABLE kept")
    two.execute("UPDATE t SET n = 2")
    with pytest.raises(errors.SerializationFailure):
        one.commit()
    assert is_pinned(one)
    assert value_of(one, "SELECT count(*) FROM kept") == 0


def test_random_does_not_go_on_from_the_last_sessions_seed(connect: Connect) -> None:
    connection = connect()
    drawn = set()
    for _ in range(2):
        connection.execute("SELECT setseed(0.5)")
        import_state(connection, BLANK)
        drawn.add(value_of(connection, "SELECT random()"))
    assert len(drawn) == 2


def test_privileged_settings_pin_the_session(cluster: Cluster) -> None:
    with cluster.connect_superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        assert is_pinned(connection)


class TestPreparedAgain:
    """Statements of PREPARE after an import exist by name, whether they can be prepared again or not."""

    @pytest.fixture
    def moved(self, connect: Connect) -> Connection:
        one, two = connect(), connect(prepare_threshold=None)
        one.execute("CREATE TABLE t (id int); CREATE VIEW seen AS SELECT 1 AS n")
        one.execute("PREPARE q AS SELECT count(*) FROM t")
        one.execute("PREPARE lost AS SELECT n FROM seen")
        state = export(one)
        one.execute("DROP VIEW seen")
        import_state(two, state)
        return two

    @pytest.mark.parametrize(
        "statement", ["EXECUTE q", "EXPLAIN EXECUTE q", "CREATE TEMP TABLE c AS EXECUTE q", "EXPLAIN ANALYZE EXECUTE q"]
    )
    def test_it_is_there_for_every_statement(self, moved: Connection, statement: str) -> None:
        moved.execute(statement)  # type: ignore[call-overload]

    def test_its_name_is_taken(self, moved: Connection) -> None:
        with pytest.raises(errors.DuplicatePreparedStatement, match='"q" already exists'):
            moved.execute("PREPARE q AS SELECT 2")

    def test_it_can_be_dropped(self, moved: Connection) -> None:
        assert moved.execute("DEALLOCATE lost").statusmessage == "DEALLOCATE"
        with pytest.raises(errors.InvalidSqlStatementName):
            moved.execute("DEALLOCATE lost")
        moved.execute("DEALLOCATE ALL")
        assert export(moved) == BLANK

    def test_what_cannot_be_prepared_any_more_fails_when_it_is_executed(self, moved: Connection) -> None:
        with pytest.raises(errors.UndefinedTable):
            moved.execute("EXECUTE lost")
        assert value_of(moved, "EXECUTE q") == 0

    def test_the_protocol_can_execute_it(self, connect: Connect) -> None:
        one, two = connect(), connect()
        for connection in (one, two):
            connection.execute("PREPARE q AS SELECT 42")
            connection.pgconn.prepare(b"by_name", b"EXECUTE q")
            import_state(connection, BLANK)
        one.execute("PREPARE q AS SELECT 42")
        import_state(two, export(one))
        result = two.pgconn.exec_prepared(b"by_name", [])
        assert [result.get_value(0, 0)] == [b"42"]

    def test_statements_of_the_protocol_stay(self, connect: Connect) -> None:
        connection = connect()
        for number in range(3):
            assert connection.execute("SELECT %s::int", [number], prepare=True).fetchone() == (number,)
            import_state(connection, BLANK)


def entry(*strings: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(string)) + string for string in strings)


def state_of(settings: bytes = b"", statements: bytes = b"", count: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    return b"BRLSSES1" + struct.pack("<4I", *count, len(settings + statements)) + settings + statements


@pytest.mark.parametrize(
    "state",
    [
        b"x",
        b"BRLSSES1",
        b"BRLSSES0" + bytes(16),
        state_of(count=(1, 0, 0)),
        state_of(count=(0, 0, 1)),
        state_of(count=(4_000_000_000, 0, 0)),
        state_of(entry(b"work_mem", b"x"), count=(1, 0, 0)),
        state_of(entry(b"no_such_setting", b"x"), count=(1, 0, 0)),
        state_of(entry(b"work_mem\0", b"1MB"), count=(1, 0, 0)),
        state_of(entry(b"work_mem", b"1MB") + b"more", count=(1, 0, 0)),
        state_of(entry(b"session_replication_role", b"replica"), count=(1, 0, 0)),
        state_of(entry(b"shared_buffers", b"1GB"), count=(1, 0, 0)),
        state_of(entry(b"role", b"borealis"), count=(1, 0, 0)),
        state_of(entry(b"session_authorization", b"borealis"), count=(1, 0, 0)),
        state_of(entry(b"app.x", b"\xff"), count=(1, 0, 0)),
        state_of(struct.pack("<I", 0xFFFFFFFF), count=(1, 0, 0)),
        state_of(statements=entry(b"q", b"PREPARE q AS SELECT 1") * 2, count=(0, 2, 0)),
    ],
)
def test_bytes_that_make_no_sense_end_the_session(state: bytes, cluster: Cluster) -> None:
    with cluster.connect() as connection:
        with pytest.raises(psycopg.Error, match="the session cannot go on in this backend"):
            import_state(connection, state)
        assert connection.closed


@pytest.mark.parametrize("text", [b"DROP TABLE x", b"SELECT 1; SELECT 2", b"PREPARE r AS SELECT 1", b"", b"PREPARE"])
def test_only_prepare_is_executed_for_a_statement(text: bytes, cluster: Cluster) -> None:
    with cluster.connect() as connection:
        import_state(connection, state_of(statements=entry(b"q", text), count=(0, 1, 0)))
        with pytest.raises(psycopg.Error):
            connection.execute("EXECUTE q")


def test_state_is_not_replaced_within_a_transaction(connect: Connect) -> None:
    connection = connect(autocommit=False)
    with pytest.raises(errors.ActiveSqlTransaction):
        connection.execute("BEGIN; SELECT borealis.session_import('')")


@pytest.mark.parametrize(
    ("preparation", "statement"),
    [
        ("CREATE TEMP TABLE t AS SELECT 1 AS n", "SELECT borealis.session_import('') FROM t"),
        ("PREPARE q AS SELECT borealis.session_import('')", "EXECUTE q"),
        ("SELECT 1", "DO $$ BEGIN PERFORM borealis.session_import(''); END $$"),
        ("SET work_mem = '5MB'", "SELECT set_config('work_mem', '6MB', false), borealis.session_import('')"),
        ("SELECT 1", "SELECT borealis.session_import(''), borealis.session_import('') FROM generate_series(1, 3)"),
        (
            "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
            "SELECT count(*), borealis.session_import('') FROM pg_cursors",
        ),
    ],
)
def test_users_may_replace_their_state_anywhere_and_harm_nobody(
    preparation: str, statement: str, cluster: Cluster
) -> None:
    with cluster.connect() as connection, cluster.connect() as other:
        connection.execute(preparation)  # type: ignore[call-overload]
        try:
            connection.execute(statement)  # type: ignore[call-overload]
        except psycopg.Error:
            assert connection.closed or value_of(connection, "SELECT 1") == 1
        else:
            assert export(connection) == BLANK
        assert value_of(other, "SELECT 1") == 1

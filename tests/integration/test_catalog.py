"""Schema changes are part of the transaction, and every instance has the same schema at once."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest
from psycopg import errors

from borealis.host.server_tree import find_postgres
from tests.cluster import Cluster, Connection, StartCluster
from tests.conftest import Connect
from tests.integration.catalog_view import compare_instances
from tests.integration.waiting import wait_until


def value_of(connection: Connection, query: str) -> object:
    row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def catalog_version(cluster: Cluster, instance: int) -> object:
    with cluster.connect_superuser(instance) as connection:
        return value_of(connection, "SELECT catalog_version FROM borealis.catalog_state")


# Statements of every kind, each list run by instances in turn. A name in braces is a role of the test's own.
DDL = {
    "tables": [
        "CREATE TABLE a (id int PRIMARY KEY, word text NOT NULL DEFAULT 'x' || current_user)",
        "INSERT INTO a (id) VALUES (1), (2)",
        "ALTER TABLE a ADD COLUMN number int DEFAULT 7, ADD COLUMN moment timestamptz DEFAULT clock_timestamp()",
        "ALTER TABLE a ADD COLUMN later timestamptz DEFAULT now()",
        "ALTER TABLE a ALTER COLUMN number TYPE numeric USING number * 2, ALTER COLUMN word DROP NOT NULL",
        "ALTER TABLE a ADD CONSTRAINT positive CHECK (number > 0) NOT VALID",
        "ALTER TABLE a VALIDATE CONSTRAINT positive",
        "ALTER TABLE a RENAME COLUMN word TO words",
        "ALTER TABLE a SET (fillfactor = 70), ALTER COLUMN words SET STATISTICS 500",
        "ALTER TABLE a ALTER COLUMN words SET STORAGE EXTERNAL, ALTER COLUMN words SET COMPRESSION pglz",
        "CREATE TABLE b (LIKE a INCLUDING ALL)",
        "CREATE TABLE c (a_id int REFERENCES a ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, UNIQUE (a_id))",
        "CREATE UNIQUE INDEX a_words ON a (words DESC NULLS LAST, lower(words), id) INCLUDE (number) WHERE number > 1",
        "ALTER TABLE a DROP COLUMN moment",
        "ALTER INDEX a_words RENAME TO a_by_words",
        "REINDEX TABLE a",
        "TRUNCATE a CASCADE",
        "ALTER TABLE c DROP CONSTRAINT c_a_id_fkey",
        "ALTER TABLE b RENAME TO d",
        "CREATE UNLOGGED TABLE e (id int PRIMARY KEY, number serial)",
        "ALTER TABLE e SET LOGGED",
        "DROP TABLE d, e",
    ],
    "made from queries": [
        "CREATE TABLE source AS SELECT n AS id, n::text AS word FROM generate_series(1, 20) n",
        "SELECT id * 2 AS twice INTO copied FROM source",
        "CREATE VIEW seen AS SELECT * FROM source WHERE id > 3 WITH CHECK OPTION",
        "CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM source",
        "CREATE MATERIALIZED VIEW empty AS SELECT * FROM source WITH NO DATA",
        "CREATE UNIQUE INDEX ON empty (id)",
        "REFRESH MATERIALIZED VIEW empty",
        "CREATE OR REPLACE VIEW seen AS SELECT *, 1 AS one FROM source",
        "CREATE RULE also AS ON INSERT TO seen DO INSTEAD INSERT INTO source VALUES (new.id, new.word)",
        "ALTER VIEW seen SET (security_barrier = true)",
        "DO $$ DECLARE n int := 5; BEGIN CREATE TABLE by_variable AS SELECT * FROM source WHERE id < n; END $$",
        "PREPARE made (int) AS SELECT $1 AS number",
        "DEALLOCATE ALL",
    ],
    "inheritance and partitions": [
        "CREATE TABLE parent (id int, word text)",
        "CREATE TABLE child (number int) INHERITS (parent)",
        "ALTER TABLE parent ADD COLUMN more int DEFAULT 3",
        "ALTER TABLE child NO INHERIT parent",
        "CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE past PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (current_date)",
        "CREATE TABLE others PARTITION OF parts DEFAULT PARTITION BY HASH (id)",
        "CREATE TABLE others_0 PARTITION OF others FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE ready (id int NOT NULL, day date NOT NULL)",
        "ALTER TABLE parts ATTACH PARTITION ready FOR VALUES FROM ('3000-01-01') TO ('3001-01-01')",
        "CREATE INDEX ON parts (day)",
        "ALTER TABLE parts DETACH PARTITION past",
        "DROP TABLE others",
    ],
    "types and functions": [
        "CREATE TYPE mood AS ENUM ('low', 'high')",
        "ALTER TYPE mood ADD VALUE 'middle' BEFORE 'high'",
        "ALTER TYPE mood RENAME VALUE 'low' TO 'lowest'",
        "CREATE TYPE pair AS (one int, two mood)",
        "ALTER TYPE pair ADD ATTRIBUTE three text",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 1000)",
        "CREATE TYPE span AS RANGE (subtype = float8)",
        "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2",
        "CREATE FUNCTION loud(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN upper(t); END $$",
        "CREATE OR REPLACE FUNCTION loud(t text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN t; END $$",
        "ALTER FUNCTION loud(text) SET search_path = pg_catalog",
        "CREATE PROCEDURE nothing() LANGUAGE plpgsql AS $$ BEGIN END $$",
        "CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int, initcond = '0')",
        "CREATE OPERATOR ## (leftarg = int, rightarg = int, function = int4pl)",
        "CREATE CAST (int AS mood) WITH INOUT",
        "DROP CAST (int AS mood)",
        "CREATE TABLE uses (m mood DEFAULT 'middle', p pair, q positive, s span, a mood[])",
        "ALTER TABLE uses ADD COLUMN t int GENERATED ALWAYS AS (twice(3)) STORED",
        "CREATE INDEX ON uses (twice(t))",
        "CREATE COLLATION plain (provider = libc, locale = 'C')",
        "CREATE TEXT SEARCH CONFIGURATION words (copy = english)",
        "ALTER TEXT SEARCH CONFIGURATION words DROP MAPPING FOR email",
        "CREATE STATISTICS together (ndistinct) ON m, q FROM uses",
        "DROP TYPE mood CASCADE",
        "DROP FUNCTION loud(text)",
    ],
    "triggers, policies, comments": [
        "CREATE TABLE watched (id int PRIMARY KEY, owner text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$",
        "CREATE TRIGGER noted BEFORE INSERT OR UPDATE OF owner ON watched FOR EACH ROW EXECUTE FUNCTION note()",
        "ALTER TABLE watched DISABLE TRIGGER noted",
        "ALTER TABLE watched ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON watched USING (owner = current_user)",
        "ALTER POLICY own ON watched RENAME TO mine",
        "COMMENT ON TABLE watched IS 'a table'",
        "COMMENT ON COLUMN watched.owner IS 'a column'",
        "COMMENT ON TABLE watched IS NULL",
        "DROP TRIGGER noted ON watched",
        "DROP POLICY mine ON watched",
    ],
    "roles and privileges": [
        "CREATE ROLE {0} LOGIN PASSWORD 'secret' VALID UNTIL '2100-01-01'",
        "CREATE ROLE {1}",
        "GRANT {0} TO {1} WITH ADMIN OPTION",
        "ALTER ROLE {0} SET work_mem = '8MB'",
        "CREATE TABLE theirs (id int, word text)",
        "GRANT SELECT, INSERT (word) ON theirs TO {0}",
        "GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {0} WITH GRANT OPTION",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {0}",
        "CREATE TABLE granted (id int)",
        "REVOKE INSERT ON theirs FROM {0}",
        "COMMENT ON ROLE {0} IS 'a role'",
        "ALTER ROLE {0} RENAME TO {0}_renamed",
        "ALTER ROLE {0}_renamed RENAME TO {0}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE SELECT ON TABLES FROM {0}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {0}",
        "DROP ROLE {0}, {1}",
    ],
    "schemas": [
        "CREATE SCHEMA {schema}_more CREATE TABLE inner_ (id serial PRIMARY KEY) CREATE VIEW shown AS SELECT 1 AS one",
        "ALTER TABLE {schema}_more.inner_ SET SCHEMA {schema}",
        "ALTER SCHEMA {schema}_more RENAME TO {schema}_most",
        "DROP SCHEMA {schema}_most CASCADE",
    ],
}


@pytest.mark.parametrize("kind", DDL)
def test_catalogs_are_the_same_after_every_statement(connect: Connect, cluster: Cluster, kind: str) -> None:
    connections = [connect(1), connect(2)]
    schema = value_of(connections[0], "SELECT current_schema()")
    for number, statement in enumerate(DDL[kind]):
        text = statement.format(f"{schema}_one", f"{schema}_two", schema=schema) if "{" in statement else statement
        connections[number % 2].execute(text)  # type: ignore[call-overload]
        assert compare_instances(cluster, with_built_in=False) == [], text
    assert compare_instances(cluster) == []


@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "prepared"])
def test_what_one_instance_creates_the_other_uses_at_once(connect: Connect, prepare: bool) -> None:
    one, two = connect(1), connect(2)
    for number in range(30):
        one.execute(f"CREATE TABLE items_{number} (id int PRIMARY KEY, word text)")  # type: ignore[arg-type]
        two.execute(f"INSERT INTO items_{number} VALUES (%s, %s)", (number, "x"), prepare=prepare)  # type: ignore[arg-type]
        two.execute(f"ALTER TABLE items_{number} ADD COLUMN more int DEFAULT 5")  # type: ignore[arg-type]
        found = one.execute(f"SELECT id, word, more FROM items_{number} WHERE id = %s", (number,), prepare=prepare)  # type: ignore[arg-type]
        assert found.fetchone() == (number, "x", 5)


def test_prepared_statement_follows_the_table(connect: Connect) -> None:
    one, two = connect(1), connect(2)
    one.execute("CREATE TABLE items (id int PRIMARY KEY)")
    two.execute("PREPARE all_items AS SELECT count(*) FROM items")
    two.execute("EXECUTE all_items")
    one.execute("INSERT INTO items VALUES (1)")
    one.execute("ALTER TABLE items ADD COLUMN word text DEFAULT 'x'")
    assert value_of(two, "EXECUTE all_items") == 1
    one.execute("TRUNCATE items")
    assert value_of(two, "EXECUTE all_items") == 0
    one.execute("DROP TABLE items")
    with pytest.raises(errors.UndefinedTable):
        two.execute("EXECUTE all_items")


def test_prepared_statement_follows_the_domain(connect: Connect) -> None:
    """A change of its constraints leaves the domain's own row as it was."""
    one, two = connect(1), connect(2)
    one.execute("CREATE DOMAIN small AS int")
    one.execute("CREATE TABLE items (size small)")
    two.execute("PREPARE add AS INSERT INTO items VALUES (100)")
    two.execute("EXECUTE add")
    one.execute("ALTER DOMAIN small ADD CONSTRAINT is_small CHECK (value < 10) NOT VALID")
    with pytest.raises(errors.CheckViolation):
        two.execute("EXECUTE add")
    one.execute("ALTER DOMAIN small DROP CONSTRAINT is_small")
    two.execute("EXECUTE add")


def test_first_statement_of_a_block_waits_for_the_schema(connect: Connect) -> None:
    one, two = connect(1), connect(2, autocommit=False)
    two.execute("SELECT 1")  # opens the block and reads nothing
    one.execute("CREATE TABLE items (id int PRIMARY KEY)")
    assert value_of(two, "SELECT count(*) FROM items") == 0
    two.rollback()


def test_new_role_logs_in_at_once(connect: Connect, cluster: Cluster) -> None:
    one = connect(1)
    for number in range(5):
        role = f"visitor_{number}"
        one.execute(f"CREATE ROLE {role} LOGIN")  # type: ignore[arg-type]
        with cluster.connect(2, user=role) as visitor:
            assert value_of(visitor, "SELECT current_user") == role
        one.execute(f"DROP ROLE {role}")  # type: ignore[arg-type]
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            cluster.connect(2, user=role)


def test_open_transaction_does_not_see_a_newer_schema(connect: Connect) -> None:
    """Its next statement fails with OC001, on the instance of the change and on the other one; then it can go on."""
    one, two = connect(1, autocommit=False), connect(2, autocommit=False)
    changer = connect(2)
    changer.execute("CREATE TABLE items (id int PRIMARY KEY)")
    for connection in (one, two):
        connection.execute("SELECT * FROM items")
    changer.execute("CREATE TABLE unrelated (id int)")
    connect(1).execute("SELECT * FROM unrelated")  # instance 1 has the change now
    for connection in (one, two):
        with pytest.raises(errors.SerializationFailure, match="OC001"):
            connection.execute("SELECT * FROM items")
        connection.rollback()
        connection.execute("SELECT * FROM items, unrelated")
        connection.rollback()


def test_writer_that_began_under_another_schema_cannot_commit(connect: Connect) -> None:
    one, two = connect(1, autocommit=False), connect(2)
    two.execute("CREATE TABLE items (id int PRIMARY KEY)")
    one.execute("INSERT INTO items VALUES (1)")
    two.execute("CREATE TABLE unrelated (id int)")
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        one.commit()
    assert value_of(two, "SELECT count(*) FROM items") == 0


@pytest.mark.parametrize("other", [1, 2], ids=["same instance", "other instance"])
def test_of_two_schema_changes_one_is_refused(connect: Connect, cluster: Cluster, other: int) -> None:
    one, two = connect(1, autocommit=False), connect(other, autocommit=False)
    one.execute("CREATE TABLE from_one (id int)")
    two.execute("CREATE TABLE from_two (id int)")
    two.commit()
    with pytest.raises(errors.SerializationFailure, match="OC001"):
        one.commit()
    one.execute("CREATE TABLE from_one (id int)")
    one.commit()
    assert compare_instances(cluster) == []


def test_schema_and_data_commit_together_or_not_at_all(connect: Connect, cluster: Cluster) -> None:
    one, two = connect(1, autocommit=False), connect(2)
    one.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
    one.execute("INSERT INTO items SELECT n, 'x' FROM generate_series(1, 100) n")
    one.execute("SAVEPOINT before")
    one.execute("ALTER TABLE items DROP COLUMN word")
    one.execute("CREATE TABLE lost (id int)")
    one.execute("ROLLBACK TO before")
    one.execute("CREATE INDEX ON items (word)")
    one.execute("DO $$ BEGIN CREATE TABLE lost (id int); RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$")
    assert value_of(two, "SELECT to_regclass('items')") is None
    one.commit()
    assert two.execute("SELECT count(*), min(word) FROM items").fetchone() == (100, "x")
    assert value_of(two, "SELECT to_regclass('lost')") is None
    one.execute("DROP TABLE items")
    one.rollback()
    assert value_of(two, "SELECT count(*) FROM items") == 100
    assert compare_instances(cluster) == []


def test_table_that_lived_in_one_transaction_leaves_nothing(connect: Connect, cluster: Cluster) -> None:
    before = catalog_version(cluster, 1)
    one = connect(1, autocommit=False)
    one.execute("CREATE TABLE items (id int PRIMARY KEY)")
    one.execute("INSERT INTO items VALUES (1)")
    one.execute("DROP TABLE items")
    one.commit()
    assert catalog_version(cluster, 1) == before


def test_temporary_objects_are_nobody_else_s_business(connect: Connect, cluster: Cluster) -> None:
    before = catalog_version(cluster, 1)
    one, two = connect(1), connect(2, autocommit=False)
    value_of(two, "SELECT count(*) FROM pg_class")
    one.execute("CREATE TEMPORARY TABLE own (id serial PRIMARY KEY, word text UNIQUE)")
    one.execute("CREATE INDEX ON own (word)")
    one.execute("ALTER TABLE own ADD COLUMN more int DEFAULT 5, ADD CHECK (more > 0)")
    one.execute("CREATE TEMPORARY VIEW seen AS SELECT * FROM own")
    one.execute("CREATE VIEW also_seen AS SELECT * FROM own")
    one.execute("COMMENT ON TABLE own IS 'mine'")
    one.execute("INSERT INTO own (word) SELECT repeat(md5(n::text), 200) FROM generate_series(1, 50) n")
    one.execute("ANALYZE own")
    one.execute("CREATE TYPE pg_temp.pair AS (one int, two int)")
    one.execute("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    one.execute("TRUNCATE own")
    one.execute("DROP TABLE own CASCADE")
    one.execute("DROP TYPE pg_temp.pair")
    one.execute("DROP FUNCTION pg_temp.f()")
    one.execute("CREATE TEMPORARY TABLE gone (id int) ON COMMIT DROP")
    assert catalog_version(cluster, 1) == before
    assert value_of(two, "SELECT 1") == 1
    two.commit()
    assert compare_instances(cluster) == []


def test_statistics_reach_the_other_instance_and_disturb_nobody(connect: Connect, cluster: Cluster) -> None:
    one, two = connect(1), connect(2)
    one.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
    one.execute("CREATE STATISTICS together (ndistinct) ON id, word FROM items")
    one.execute("INSERT INTO items SELECT n, 'word ' || n % 7 FROM generate_series(1, 1000) n")
    open_transaction = connect(2, autocommit=False)
    open_transaction.execute("INSERT INTO items VALUES (5000, 'mine')")
    one.execute("ANALYZE items")
    assert value_of(open_transaction, "SELECT count(*) FROM items") == 1001
    open_transaction.commit()
    with cluster.connect_superuser(2) as superuser:
        wait_until(
            lambda: (
                value_of(superuser, "SELECT catalog_version FROM borealis.catalog_state") == catalog_version(cluster, 1)
            ),
            "instance 2 has the statistics",
        )
    assert value_of(two, "SELECT n_distinct FROM pg_stats WHERE tablename = 'items' AND attname = 'word'") == 7
    assert value_of(two, "SELECT reltuples FROM pg_class WHERE relname = 'items'") == 1000
    assert value_of(two, "SELECT n_distinct FROM pg_stats_ext WHERE statistics_name = 'together'") is not None
    two.execute("VACUUM ANALYZE items")
    assert compare_instances(cluster) == []


def test_analyze_of_both_instances_and_ddl_do_not_fail_each_other(connect: Connect) -> None:
    one, two = connect(1), connect(2)
    one.execute("CREATE TABLE items (id int PRIMARY KEY)")
    one.execute("CREATE TABLE others (id int PRIMARY KEY)")
    for _ in range(10):
        one.execute("ANALYZE items")
        two.execute("ANALYZE others")
    one.execute("BEGIN")
    one.execute("ALTER TABLE items ADD COLUMN word text")
    two.execute("ANALYZE others")
    one.execute("COMMIT")


def test_statistics_on_their_way_are_no_conflict(connect: Connect) -> None:
    """A statement that reads the whole table locks it first, and statistics cannot arrive then."""
    one, two = connect(1), connect(2)
    one.execute("CREATE TABLE items (id int PRIMARY KEY, size int)")
    one.execute("INSERT INTO items SELECT g, g FROM generate_series(1, 100) g")
    for kind in ["bigint", "int", "bigint", "int", "bigint"]:
        two.execute("ANALYZE items")
        one.execute(f"ALTER TABLE items ALTER size TYPE {kind}")  # type: ignore[arg-type]
    for _ in range(5):
        two.execute("ANALYZE items")
        one.execute("REINDEX TABLE items")
        two.execute("ANALYZE items")
        one.execute("CREATE INDEX ON items (size)")


def test_rows_that_arrive_before_a_build_gets_its_turn_refuse_it(connect: Connect) -> None:
    """They would be missing in it: its transaction has read the table, so its snapshot cannot move to see them."""
    one, two = connect(1, autocommit=False), connect(2)
    two.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
    two.execute("CREATE TABLE others (id int PRIMARY KEY)")
    two.execute("INSERT INTO items VALUES (1, 'x')")
    for build in (
        "CREATE INDEX ON items (word)",
        "ALTER TABLE items ADD CHECK (word = 'x')",
        "ALTER TABLE items ALTER COLUMN word TYPE varchar(10)",
        "ALTER TABLE items ADD COLUMN moment timestamptz DEFAULT clock_timestamp()",
    ):
        one.execute("SELECT * FROM items")
        two.execute("INSERT INTO items (id, word) SELECT max(id) + 1, 'x' FROM items")
        one.execute(build)  # type: ignore[call-overload]
        with pytest.raises(errors.SerializationFailure):
            one.commit()
        one.execute(build)  # type: ignore[call-overload]
        two.execute("INSERT INTO others SELECT count(*) FROM others")
        one.commit()


def test_metadata_changes_do_not_mind_new_rows(connect: Connect) -> None:
    one, two = connect(1, autocommit=False), connect(2)
    two.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
    for change in (
        "ALTER TABLE items ADD COLUMN more int DEFAULT 5",
        "ALTER TABLE items ADD CHECK (id > 0) NOT VALID",
        "COMMENT ON TABLE items IS 'x'",
        "GRANT SELECT ON items TO public",
    ):
        one.execute(change)  # type: ignore[call-overload]
        two.execute("INSERT INTO items (id) SELECT count(*) + 1 FROM items")
        one.commit()


def test_extension_and_its_types_are_shared(connect: Connect, cluster: Cluster) -> None:
    one, two = connect(1), connect(2)
    with cluster.connect_superuser(1) as superuser:
        superuser.execute("CREATE EXTENSION vector SCHEMA public")
        try:
            two.execute("CREATE TABLE points (id int PRIMARY KEY, place public.vector(2))")
            two.execute("INSERT INTO points VALUES (1, '[1,2]'), (2, '[5,5]')")
            nearest = "SELECT id FROM points ORDER BY place OPERATOR(public.<->) '[4,4]' LIMIT 1"
            assert value_of(one, nearest) == 2
            with pytest.raises(errors.FeatureNotSupported):
                one.execute("CREATE INDEX ON points USING hnsw (place public.vector_l2_ops)")
            assert compare_instances(cluster) == []
        finally:
            superuser.execute("DROP EXTENSION vector CASCADE")
    assert two.execute("SELECT * FROM points ORDER BY id").fetchall() == [(1,), (2,)]
    assert compare_instances(cluster) == []


def test_direct_changes_of_catalogs_are_shared(connect: Connect, cluster: Cluster) -> None:
    """A superuser may make them; they are rows like any others."""
    connect(1).execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    with cluster.connect_superuser(2) as superuser:
        superuser.execute("UPDATE pg_proc SET procost = 55 WHERE proname = 'f'")
    assert value_of(connect(1), "SELECT procost FROM pg_proc WHERE proname = 'f'") == 55
    assert compare_instances(cluster) == []


def test_large_values_in_catalogs_are_shared(connect: Connect, cluster: Cluster) -> None:
    """They lie in TOAST tables, whose OIDs differ between instances."""
    one, two = connect(1), connect(2)
    text = "".join(chr(33 + (n * n) % 90) for n in range(200_000)).replace("'", "").replace("$", "")
    one.execute(f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $${'SELECT 1::text --' + text}$$")  # type: ignore[arg-type]
    two.execute("COMMENT ON FUNCTION f() IS 'seen'")
    two.execute("ALTER FUNCTION f() COST 5")
    one.execute("ALTER FUNCTION f() STABLE")
    two.execute("CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT 'short'$$")
    assert value_of(one, "SELECT f()") == "short"
    assert compare_instances(cluster) == []


@pytest.mark.parametrize(
    ("temporary", "change"),
    [
        ("CREATE TEMPORARY TABLE mine (m mood)", "DROP TYPE mood"),
        ("CREATE TEMPORARY VIEW mine AS SELECT word FROM items", "DROP TABLE items"),
        ("CREATE TEMPORARY VIEW mine AS SELECT word FROM items", "ALTER TABLE items DROP COLUMN word"),
        ("CREATE TEMPORARY TABLE mine (id int DEFAULT one())", "DROP FUNCTION one()"),
    ],
)
def test_session_whose_temporary_objects_lose_their_ground_is_ended(
    connect: Connect, cluster: Cluster, temporary: str, change: str
) -> None:
    """The other instance could not know of them."""
    one, two = connect(1), connect(2)
    one.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
    one.execute("CREATE TYPE mood AS ENUM ('low')")
    one.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    two.execute(temporary)  # type: ignore[call-overload]
    bystander = connect(2)
    bystander.execute("CREATE TEMPORARY TABLE other AS SELECT * FROM items")
    one.execute(change)  # type: ignore[call-overload]
    bystander.execute("SELECT * FROM other")
    with pytest.raises(psycopg.OperationalError):
        two.execute("SELECT * FROM mine")
    assert compare_instances(cluster) == []


def test_local_catalogs_do_not_keep_what_is_dead(connect: Connect, cluster: Cluster) -> None:
    """Temporary tables leave thousands of dead rows, and no autovacuum comes by."""
    dead = "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relname = 'pg_attribute'"
    before = catalog_version(cluster, 1)
    connect(1).execute(
        "DO $$ BEGIN FOR i IN 1..300 LOOP "
        "CREATE TEMPORARY TABLE short_lived (a int, b int, c int, d int); DROP TABLE short_lived; END LOOP; END $$"
    )
    with cluster.connect_superuser(1) as superuser:
        vacuums = value_of(superuser, dead.replace("n_dead_tup", "vacuum_count"))
        wait_until(
            lambda: value_of(superuser, dead.replace("n_dead_tup", "vacuum_count")) != vacuums,
            "pg_attribute is vacuumed",
        )
        wait_until(lambda: value_of(superuser, dead) == 0, "nothing dead is left")
    assert catalog_version(cluster, 1) == before


def test_restart_of_an_instance_brings_its_catalogs_up_to_date(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=2)
    cluster.expect_log("was terminated by signal")
    with cluster.connect(1) as one:
        one.execute("CREATE TABLE before (id serial PRIMARY KEY, word text)")
        cluster.kill_only("instance-2")
        for number in range(20):
            one.execute(f"CREATE TABLE items_{number} (id int PRIMARY KEY)")  # type: ignore[arg-type]
        one.execute("DROP TABLE before")
        cluster.wait_back("instance-2")
    with cluster.connect(2) as two:
        assert value_of(two, "SELECT count(*) FROM pg_class WHERE relname LIKE 'items_%' AND relkind = 'r'") == 20
    assert compare_instances(cluster) == []
    cluster.stop()
    cluster.start()
    assert compare_instances(cluster) == []
    cluster.stop()


def test_instance_whose_catalogs_have_diverged_is_made_anew(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=2)
    with cluster.connect(1) as one:
        one.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        one.execute("CREATE TABLE items (id int PRIMARY KEY)")
        one.execute("INSERT INTO items VALUES (1)")
    assert compare_instances(cluster) == []
    cluster.stop()
    change_catalogs_behind_its_back(cluster, 2, "UPDATE pg_proc SET procost = 77 WHERE proname = 'f'")
    cluster.start()
    cluster.expect_log('local catalog "pg_proc" differs')
    cluster.expect_log("was terminated by signal|server process .* exited")
    mark = cluster.mark()
    with cluster.connect(1) as one:
        one.execute("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'")
    cluster.wait_back("instance-2", mark)
    with cluster.connect(2) as two:
        assert two.execute("SELECT f(), id FROM items").fetchone() == (2, 1)
    assert compare_instances(cluster) == []
    cluster.stop()


def change_catalogs_behind_its_back(cluster: Cluster, instance: int, statement: str) -> None:
    """In the server's single-user mode and without our library, so that no cluster hears of it."""
    folder = cluster.directory.instance(instance)
    owner = folder.pgdata.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(
        [
            find_postgres() / "bin" / "postgres",
            "--single",
            "-D",
            folder.pgdata,
            "-c",
            "borealis.run_directory=",
            "postgres",
        ],
        input=f"{statement}\n".encode(),
        cwd=folder.pgdata,
        env={**os.environ, "LD_PRELOAD": os.environ.get("BOREALIS_TEST_PRELOAD", "")},
        check=True,
        capture_output=True,
        **account,  # type: ignore[call-overload]
    )

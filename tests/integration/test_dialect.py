"""Statements of Aurora DSQL that PostgreSQL's grammar does not have, and the schema `sys`."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from psycopg import errors
from psycopg.pq import DiagnosticField, ExecStatus

from borealis.host.server_tree import find_postgres
from tests.cluster import Cluster, Connection
from tests.conftest import Connect
from tests.integration.catalog_view import compare_instances

ARN = "arn:aws:iam::111122223333:role/example"
OTHER_ARN = "arn:aws:iam::111122223333:user/team/somebody@example.com"

ROLE_NUMBERS = itertools.count(1)

MakeRole = Callable[[], str]


def values_of(connection: Connection, query: str, *parameters: object) -> list[object]:
    return [row[0] for row in connection.execute(query, parameters or None)]  # type: ignore[call-overload]


def mappings(connection: Connection, role: str) -> list[object]:
    return values_of(connection, "SELECT arn FROM sys.iam_pg_role_mappings WHERE pg_role_name = %s ORDER BY arn", role)


def run(connection: Connection, text: str) -> str | None:
    return connection.execute(text).statusmessage  # type: ignore[call-overload]


@pytest.fixture
def make_role(cluster: Cluster) -> Iterator[MakeRole]:
    """Makes roles with LOGIN that are gone after the test."""
    made: list[str] = []

    def make() -> str:
        made.append(f"dialect_{next(ROLE_NUMBERS)}")
        with cluster.connect() as connection:
            run(connection, f"CREATE ROLE {made[-1]} LOGIN")
        return made[-1]

    yield make
    with cluster.connect() as connection:
        for role in made:
            run(connection, f"DROP ROLE IF EXISTS {role}")


class TestMappings:
    def test_a_mapping_is_seen_everywhere_at_once(
        self, cluster: Cluster, connect: Connect, make_role: MakeRole
    ) -> None:
        one, two, role = connect(1), connect(2), make_role()
        assert run(one, f"AWS IAM GRANT {role} TO '{ARN}'") == "GRANT"
        assert mappings(two, role) == [ARN]
        run(two, f"AWS IAM GRANT {role} TO '{OTHER_ARN}'")
        assert mappings(one, role) == [ARN, OTHER_ARN]
        assert run(two, f"AWS IAM REVOKE {role} FROM '{ARN}'") == "REVOKE"
        assert mappings(one, role) == [OTHER_ARN]
        assert compare_instances(cluster) == []

    def test_the_view_names_role_and_grantor(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        run(connection, f"AWS IAM GRANT {role} TO '{ARN}'")
        cursor = connection.execute("SELECT * FROM sys.iam_pg_role_mappings WHERE pg_role_name = %s", [role])
        assert cursor.description is not None
        assert [column.name for column in cursor.description] == [
            "iam_oid",
            "arn",
            "pg_role_oid",
            "pg_role_name",
            "grantor_pg_role_oid",
            "grantor_pg_role_name",
        ]
        row = cursor.fetchone()
        assert row is not None
        assert isinstance(row[0], int)
        role_oid, admin_oid = (
            values_of(connection, "SELECT oid FROM pg_roles WHERE rolname = %s", name)[0] for name in (role, "admin")
        )
        assert row[1:] == (ARN, role_oid, role, admin_oid, "admin")

    @pytest.mark.parametrize(
        "text",
        [
            "aws iam grant {role} to '{arn}'",
            "  AwS\n\tIAM\r\nGRANT {role} TO '{arn}' ; ",
            "/* one /* two */ */ AWS /* three */ IAM -- four\n GRANT {role} TO '{arn}'",
            "AWS/**/IAM/**/GRANT/**/{role}/**/TO/**/'{arn}'",
            "-- AWS IAM\nAWS--\nIAM GRANT {role} TO'{arn}'",
            "AWS IAM GRANT \"{role}\" TO '{arn}'",
            ";; AWS IAM GRANT {role} TO '{arn}';;",
            "SELECT ';'; AWS IAM GRANT {role} TO '{arn}'; SELECT $$;$$",
            "SELECT $a$ AWS IAM $b$ ; $a$, E'\\';', 'it''s', U&'\\0041', 1.5e3; AWS IAM GRANT {role} TO '{arn}'",
            "CREATE TEMP TABLE r (a int); CREATE RULE r AS ON INSERT TO r DO ALSO (SELECT 1; SELECT 2); "
            "AWS IAM GRANT {role} TO '{arn}'; DROP TABLE r",
            "AWS IAM GRANT {role} TO 'arn:aws:iam::000000000000:user/x'; AWS IAM GRANT {role} TO '{arn}'; "
            "AWS IAM REVOKE {role} FROM 'arn:aws:iam::000000000000:user/x'",
        ],
    )
    def test_however_it_is_written(self, text: str, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        run(connection, text.format(role=role, arn=ARN))
        assert mappings(connection, role) == [ARN]

    def test_names_are_read_as_everywhere(self, connect: Connect) -> None:
        connection = connect()
        for written, name in (('"Ein ""Name"""', 'Ein "Name"'), ("MiXed", "mixed"), ("größe", "größe")):
            run(connection, f"CREATE ROLE {written}")
            try:
                run(connection, f"AWS IAM GRANT {written} TO '{ARN}'")
                assert mappings(connection, name) == [ARN]
            finally:
                run(connection, f"DROP ROLE {written}")

    def test_it_can_be_prepared_and_repeated(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        grant, revoke = f"AWS IAM GRANT {role} TO '{ARN}'", f"AWS IAM REVOKE {role} FROM '{ARN}'"
        for _ in range(3):
            assert connection.execute(grant, prepare=True).statusmessage == "GRANT"  # type: ignore[call-overload]
            assert mappings(connection, role) == [ARN]
            assert connection.execute(revoke, prepare=True).statusmessage == "REVOKE"  # type: ignore[call-overload]
            assert mappings(connection, role) == []

    def test_it_is_part_of_the_transaction(self, connect: Connect, make_role: MakeRole) -> None:
        one, two, role = connect(1, autocommit=False), connect(2), make_role()
        run(one, f"AWS IAM GRANT {role} TO '{ARN}'")
        assert mappings(one, role) == [ARN]
        assert mappings(two, role) == []
        run(one, "SAVEPOINT s")
        run(one, f"AWS IAM REVOKE {role} FROM '{ARN}'")
        run(one, "ROLLBACK TO s")
        assert mappings(one, role) == [ARN]
        one.rollback()
        assert mappings(one, role) == []
        run(one, f"AWS IAM GRANT {role} TO '{ARN}'")
        one.commit()
        assert mappings(two, role) == [ARN]

    def test_it_invalidates_as_other_changes_of_the_schema_do(self, connect: Connect, make_role: MakeRole) -> None:
        one, two, role = connect(1, autocommit=False), connect(2), make_role()
        run(two, "CREATE TABLE t (id int PRIMARY KEY)")
        run(one, "INSERT INTO t VALUES (1)")
        run(two, f"AWS IAM GRANT {role} TO '{ARN}'")
        with pytest.raises(errors.SerializationFailure, match="OC001"):
            one.commit()

    def test_repeating_changes_nothing(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        notices: list[tuple[str | None, str | None]] = []
        connection.add_notice_handler(lambda notice: notices.append((notice.severity, notice.message_primary)))
        run(connection, f"AWS IAM GRANT {role} TO '{ARN}'")
        assert notices == []
        assert run(connection, f"AWS IAM GRANT {role} TO '{ARN}'") == "GRANT"
        run(connection, f"AWS IAM REVOKE {role} FROM '{ARN}'")
        assert run(connection, f"AWS IAM REVOKE {role} FROM '{ARN}'") == "REVOKE"
        assert notices == [
            ("NOTICE", f'role "{role}" has already been granted to "{ARN}"'),
            ("WARNING", f'role "{role}" has not been granted to "{ARN}"'),
        ]

    def test_mappings_follow_the_role(self, connect: Connect, make_role: MakeRole) -> None:
        one, two, role = connect(1), connect(2), make_role()
        run(one, f"AWS IAM GRANT {role} TO '{ARN}'")
        run(one, f"ALTER ROLE {role} RENAME TO {role}_renamed")
        assert mappings(two, f"{role}_renamed") == [ARN]
        run(one, f"DROP ROLE {role}_renamed")
        run(one, f"CREATE ROLE {role}_renamed")
        assert mappings(two, f"{role}_renamed") == []
        run(one, f"DROP ROLE {role}_renamed")

    @pytest.mark.parametrize(
        "arn",
        [
            "",
            "example",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/a/",
            "arn:aws:iam::11112222333:role/example",
            "arn:aws:iam::111122223333:group/example",
            "arn:aws:iam:us-east-1:111122223333:role/example",
            "arn:aws:sts::111122223333:assumed-role/example/session",
            "arn:aws:iam::111122223333:role/exa mple",
            "arn:aws:iam::111122223333:role/" + "x" * 2048,
            "arn:aws:iam::111122223333:role/*",
        ],
    )
    def test_other_arns_are_refused(self, arn: str, connect: Connect, make_role: MakeRole) -> None:
        with pytest.raises(errors.InvalidParameterValue) as refusal:
            run(connect(), f"AWS IAM GRANT {make_role()} TO '{arn}'")
        assert refusal.value.diag.message_hint is not None

    @pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
    def test_other_partitions_are_not(self, partition: str, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        arn = f"arn:{partition}:iam::111122223333:user/x"
        run(connection, f"AWS IAM GRANT {role} TO '{arn}'")
        assert mappings(connection, role) == [arn]

    def test_the_role_must_exist(self, connect: Connect) -> None:
        for text in (f"AWS IAM GRANT nobody TO '{ARN}'", f"AWS IAM REVOKE nobody FROM '{ARN}'"):
            with pytest.raises(errors.UndefinedObject, match='role "nobody" does not exist'):
                run(connect(), text)
        with pytest.raises(errors.InsufficientPrivilege):
            run(connect(), f"AWS IAM GRANT borealis TO '{ARN}'")

    def test_only_admin_may(self, cluster: Cluster, make_role: MakeRole) -> None:
        role = make_role()
        with psycopg.connect(cluster.dsn().replace("user=admin", f"user={role}"), autocommit=True) as connection:
            for text in (f"AWS IAM GRANT {role} TO '{ARN}'", f"AWS IAM REVOKE {role} FROM '{ARN}'"):
                with pytest.raises(errors.InsufficientPrivilege):
                    run(connection, text)
            assert mappings(connection, role) == []
            for text in (
                "DELETE FROM pg_shseclabel",
                f"SECURITY LABEL FOR \"aws iam {ARN}\" ON ROLE {role} IS '1 1'",
                "DROP VIEW sys.iam_pg_role_mappings",
                "DROP SCHEMA sys CASCADE",
                "CREATE TABLE sys.t (id int)",
                "DROP EXTENSION borealis",
            ):
                with pytest.raises((errors.InsufficientPrivilege, errors.InvalidParameterValue)):
                    run(connection, text)

    def test_admin_cannot_do_it_in_another_way(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        for text in (
            f"INSERT INTO pg_shseclabel VALUES ('{role}'::regrole, 'pg_authid'::regclass, 'aws iam {ARN}', '1 1')",
            f"SECURITY LABEL FOR \"aws iam {ARN}\" ON ROLE {role} IS '1 1'",
            "INSERT INTO sys.iam_pg_role_mappings VALUES (1, 'x', 1, 'x', 1, 'x')",
            "DROP VIEW sys.iam_pg_role_mappings",
            "DROP SCHEMA sys CASCADE",
            "CREATE TABLE sys.t (id int)",
            "DROP EXTENSION borealis",
        ):
            with pytest.raises(psycopg.Error):
                run(connection, text)
        assert mappings(connection, role) == []

    def test_it_is_not_for_read_only_transactions(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        with pytest.raises(errors.ReadOnlySqlTransaction, match="AWS IAM GRANT"):
            run(connection, f"BEGIN READ ONLY; AWS IAM GRANT {role} TO '{ARN}'")


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "position"),
        [
            ("AWS IAM", 8),
            ("AWS IAM;", 8),
            ("SELECT 1; AWS IAM TAKE r TO 'x'; SELECT 2", 19),
            ("AWS IAM GRANT r FROM 'x'", 17),
            ("AWS IAM REVOKE r TO 'x'", 18),
            ("AWS IAM GRANT 'r' TO 'x'", 15),
            ("SELECT 'ü'; AWS IAM GRANT r TO x", 32),
            ("AWS IAM GRANT r TO E'x'", 20),
            ("AWS IAM GRANT r TO 'x' CASCADE", 24),
            ("AWS IAM GRANT r, s TO 'x'", 16),
            ("AWS", 1),
            ("AWS CLOUD GRANT r TO 'x'", 1),
            ("\"AWS\" IAM GRANT r TO 'x'", 1),
            ("EXPLAIN AWS IAM GRANT r TO 'x'", 9),
            ("PREPARE p AS AWS IAM GRANT r TO 'x'", 14),
            ("CREATE INDEX ASYNC i ON t (a) WHERE", 36),
            ("CREATE INDEX ASYNC i ON t (a); SELECT FROM WHERE", 44),
        ],
    )
    def test_errors_point_to_their_place(self, text: str, position: int, connect: Connect) -> None:
        connection = connect()
        with pytest.raises(errors.SyntaxError) as problem:
            run(connection, text)
        assert problem.value.diag.statement_position == str(position)
        assert run(connection, "SELECT 1") == "SELECT 1"

    def test_an_error_after_the_statement_points_to_its_place(self, connect: Connect, make_role: MakeRole) -> None:
        text = f"AWS IAM GRANT {make_role()} TO '{ARN}'; SELECT no_such"
        with pytest.raises(errors.UndefinedColumn) as problem:
            run(connect(), text)
        assert problem.value.diag.statement_position == str(text.index("no_such") + 1)

    def test_words_are_only_words_elsewhere(self, connect: Connect) -> None:
        connection = connect()
        run(connection, "CREATE TABLE aws (iam int, async int)")
        run(connection, "INSERT INTO aws VALUES (1, 2)")
        assert connection.execute("SELECT aws.async, iam.iam FROM aws iam, aws").fetchone() is not None
        assert connection.execute("SELECT aws iam FROM aws").fetchone() is not None
        assert values_of(connection, "SELECT 'AWS IAM GRANT r TO ''x'''") == ["AWS IAM GRANT r TO 'x'"]
        text = "x'; AWS IAM GRANT r TO 'y'; CREATE INDEX ASYNC i ON t (a)"
        assert values_of(connection, "SELECT %s::text", text) == [text]

    def test_names_of_the_protocol_and_data_stay_as_they_are(self, connect: Connect) -> None:
        connection = connect()
        name = "AWS IAM GRANT r TO 'x'"
        pgconn = connection.pgconn
        pgconn.prepare(name.encode(), b"SELECT 1")
        assert values_of(connection, "SELECT name FROM pg_prepared_statements WHERE NOT from_sql") == [name]
        assert pgconn.exec_prepared(name.encode(), []).get_value(0, 0) == b"1"
        run(connection, "CREATE TABLE t (word text)")
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write(f"{name}\nCREATE INDEX ASYNC i ON t (word)\n")
        assert values_of(connection, "SELECT word FROM t ORDER BY word") == [name, "CREATE INDEX ASYNC i ON t (word)"]
        with connection.cursor().copy("COPY (VALUES ($$AWS IAM GRANT$$)) TO STDOUT") as copy:
            assert b"".join(bytes(part) for part in copy) == b"AWS IAM GRANT\n"

    def test_others_see_what_was_typed(self, cluster: Cluster, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        text = f"/* seen */ AWS IAM GRANT {role} TO '{ARN}'"
        run(connection, text)
        with cluster.connect_superuser() as superuser:
            process = connection.info.backend_pid
            assert values_of(superuser, "SELECT query FROM pg_stat_activity WHERE pid = %s", process) == [text]

    def test_without_standard_strings_a_backslash_hides_a_quote(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        run(connection, "SET standard_conforming_strings = off; SET escape_string_warning = off")
        text = f"AWS IAM GRANT {role} TO ''{ARN}''"
        assert values_of(connection, f"SELECT '\\'; {text}'") == [f"'; AWS IAM GRANT {role} TO '{ARN}'"]
        assert mappings(connection, role) == []

    def test_many_statements_and_long_texts(self, connect: Connect, make_role: MakeRole) -> None:
        connection, role = connect(), make_role()
        arns = [f"arn:aws:iam::111122223333:role/r{number:03}" for number in range(100)]
        padding = "/*" + "x" * 10_000 + "*/"
        run(connection, ";".join(f"{padding} AWS {padding} IAM GRANT {role} TO '{arn}'" for arn in arns))
        assert mappings(connection, role) == arns

    def test_it_is_not_for_functions(self, connect: Connect) -> None:
        with pytest.raises(errors.SyntaxError):
            run(connect(), f"DO $$ BEGIN EXECUTE 'AWS IAM GRANT r TO ''{ARN}'''; END $$")


# What may hide a semicolon, or seem to.
FRAGMENTS = (
    *("'a;b'", "'it''s;'", "'\\'", "E'\\';'", "e'\\\\'", "N'\\'", "U&'\\0041'", 'U&"a;b"', "u & 'x'", "B'01'", "x'1F'"),
    *(
        "$$;$$",
        "$a$ $$ ; $b$ $a$",
        "$a$;",
        "a$b$c",
        "x$$",
        "$1",
        "$",
        "1$$;$$",
        "1e5'x'",
        "0xf'x'",
        "1.5.e'x'",
        "e1'\\'",
    ),
    *("/*;*/", "/* /* ; */", "*/", "--;\n", "--;\r", "--", "- -", "/ *", "-/*;*/", "+--x\n"),
    *(
        '"a;b"',
        '"a"";"',
        '"',
        "'",
        "(",
        ")",
        ";",
        "(;)",
        ",",
        "AS",
        "AWS",
        "::text",
        "||",
        "\n",
        "\t",
        "\v",
        " ",
        "ü",
        "ünder'x'",
    ),
)


class TestScanning:
    """The server's scanner and ours agree on where statements begin."""

    @staticmethod
    def outcome(connection: Connection, text: str) -> tuple[str, object]:
        """Of the last statement."""
        result = connection.pgconn.exec_(text.encode())
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY):
            return "error", result.error_field(DiagnosticField.SQLSTATE)
        return "tag", result.command_status

    @pytest.mark.parametrize("standard_strings", ["on", "off"])
    def test_the_statement_is_found_where_the_server_would_find_it(
        self, standard_strings: str, connect: Connect, make_role: MakeRole
    ) -> None:
        connection, role = connect(), make_role()
        run(connection, f"SET standard_conforming_strings = {standard_strings}; SET escape_string_warning = off")

        @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(strategies.lists(strategies.sampled_from(FRAGMENTS), max_size=8), strategies.sampled_from(["", " "]))
        def agree(fragments: list[str], separator: str) -> None:
            before = separator.join(["SELECT 1", *fragments])
            expected = self.outcome(connection, f"{before}; ALTER ROLE {role} LOGIN")
            if expected == ("tag", b"ALTER ROLE"):
                expected = ("tag", b"GRANT")
            assert self.outcome(connection, f"{before}; AWS IAM GRANT {role} TO '{ARN}'") == expected

        agree()


class TestJobs:
    def job(self, connection: Connection, text: str) -> str:
        cursor = connection.execute(text)  # type: ignore[call-overload]
        assert cursor.description is not None
        assert [column.name for column in cursor.description] == ["job_id"]
        rows = cursor.fetchall()
        assert len(rows) == 1
        assert isinstance(rows[0][0], str)
        assert len(rows[0][0]) == 26
        return rows[0][0]

    @pytest.mark.parametrize(
        ("text", "index"),
        [
            ("CREATE INDEX ASYNC ON t (a)", "t_a_idx"),
            ("create /* x */ unique index/**/async if not exists \"I\" on t (a, lower(b)) INCLUDE (c)", "I"),
            ("CREATE INDEX ASYNC async ON ONLY t USING btree (a DESC NULLS LAST) WHERE b > 'x'", "async"),
        ],
    )  # fmt: skip
    def test_an_index_is_built_and_recorded(self, text: str, index: str, connect: Connect) -> None:
        one, two = connect(1), connect(2)
        run(one, "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int)")
        job = self.job(one, text)
        assert values_of(two, "SELECT indexname FROM pg_indexes WHERE tablename = 't' AND indexname <> 't_pkey'"
                              " AND schemaname = current_schema") == [index]  # fmt: skip
        row = two.execute(
            "SELECT status, job_type, object_name, class_id, start_time <= update_time AND update_time <= now()"
            " FROM sys.jobs WHERE job_id = %s",
            [job],
        ).fetchone()
        schema = values_of(one, "SELECT current_schema")[0]
        quoted = f'"{index}"' if index == "I" else index
        assert row == ("completed", "INDEX_BUILD", f"{schema}.{quoted}", 1259, True)
        waited = two.execute("CALL sys.wait_for_job(%s)", [job])
        assert waited.fetchall() == [(True,)]

    def test_the_answer_is_described_before_it_is_executed(self, connect: Connect) -> None:
        connection = connect()
        run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int)")
        connection.pgconn.prepare(b"p", b"CREATE INDEX ASYNC ON t (a)")
        description = connection.pgconn.describe_prepared(b"p")
        assert [description.fname(column) for column in range(description.nfields)] == [b"job_id"]
        for _ in range(2):
            result = connection.pgconn.exec_prepared(b"p", [])
            assert (result.ntuples, result.command_status) == (1, b"CREATE INDEX")

    def test_nothing_to_build_is_no_job(self, connect: Connect) -> None:
        connection = connect()
        run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int)")
        self.job(connection, "CREATE INDEX ASYNC i ON t (a)")
        assert connection.execute("CREATE INDEX ASYNC IF NOT EXISTS i ON t (a)").fetchall() == []

    def test_a_job_that_fails_leaves_nothing(self, connect: Connect) -> None:
        connection = connect()
        run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1), (2, 1)")
        with pytest.raises(errors.UniqueViolation):
            run(connection, "CREATE UNIQUE INDEX ASYNC i ON t (a)")
        assert values_of(connection, "SELECT count(*) FROM sys.jobs WHERE object_name LIKE '%.i'") == [0]

    def test_it_is_part_of_the_transaction(self, connect: Connect) -> None:
        connection = connect(autocommit=False)
        run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int)")
        job = self.job(connection, "CREATE INDEX ASYNC i ON t (a)")
        assert values_of(connection, "SELECT count(*) FROM sys.jobs WHERE job_id = %s", job) == [1]
        connection.rollback()
        assert values_of(connection, "SELECT count(*) FROM sys.jobs WHERE job_id = %s", job) == [0]
        connection.rollback()

    def test_a_quoted_name_is_a_name(self, connect: Connect) -> None:
        connection = connect()
        run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int)")
        assert connection.execute('CREATE INDEX "async" ON t (a)').description is None
        run(connection, 'DROP INDEX "async"; CREATE TABLE async (a int); ALTER TABLE async ADD COLUMN b int')
        run(connection, "ALTER TABLE async ADD CONSTRAINT c CHECK (a > 0) NOT VALID")
        assert connection.execute("ALTER TABLE async VALIDATE CONSTRAINT c").description is None

    def test_a_constraint_is_validated(self, connect: Connect) -> None:
        connection = connect()
        run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, -1)")
        run(connection, "ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0) NOT VALID")
        schema = values_of(connection, "SELECT current_schema")[0]
        text = f"ALTER TABLE ASYNC IF EXISTS ONLY {schema}.t VALIDATE CONSTRAINT positive"
        with pytest.raises(errors.CheckViolation):
            run(connection, text)
        run(connection, "UPDATE t SET a = 1")
        job = self.job(connection, text)
        assert values_of(connection, "SELECT job_type FROM sys.jobs WHERE job_id = %s", job) == ["VALIDATE_CONSTRAINT"]
        assert values_of(connection, "SELECT convalidated FROM pg_constraint WHERE conname = 'positive'") == [True]

    def test_a_job_must_exist_to_be_waited_for(self, connect: Connect) -> None:
        with pytest.raises(errors.UndefinedObject, match="does not exist"):
            run(connect(), "CALL sys.wait_for_job('abc')")

    def test_the_procedure_behind_it_cannot_be_called(self, connect: Connect) -> None:
        with pytest.raises(errors.FeatureNotSupported):
            run(connect(), "CALL sys.start_job(NULL)")


class TestAdmin:
    @pytest.mark.parametrize(
        "text",
        [
            "DROP ROLE admin",
            "DROP ROLE IF EXISTS nobody, admin",
            "DROP USER current_user",
            "ALTER ROLE admin RENAME TO other",
            "ALTER ROLE admin NOLOGIN",
            "ALTER ROLE current_user CONNECTION LIMIT 0",
            "ALTER USER session_user CREATEDB",
        ],
    )
    def test_admin_stays_as_it_is(self, text: str, cluster: Cluster) -> None:
        with cluster.connect() as connection, pytest.raises(errors.FeatureNotSupported, match='role "admin" cannot be'):
            run(connection, text)

    def test_what_is_not_about_the_role_itself_is_allowed(self, cluster: Cluster) -> None:
        with cluster.connect() as connection:
            run(connection, "ALTER ROLE admin SET work_mem = '5MB'")
            run(connection, "ALTER ROLE admin RESET work_mem")
            run(connection, "ALTER ROLE admin PASSWORD NULL")


def test_the_front_logs_in_as_any_role_over_the_private_socket(cluster: Cluster, make_role: MakeRole) -> None:
    role = make_role()
    socket = cluster.directory.instance(2).socket
    assert socket.stat().st_mode & 0o077 == 0
    with psycopg.connect(host=str(socket), port=cluster.port + 1, user=role, dbname="postgres") as connection:
        assert values_of(connection, "SELECT current_user") == [role]
    with cluster.connect() as connection:
        run(connection, f"ALTER ROLE {role} NOLOGIN")
    with pytest.raises(psycopg.OperationalError, match="is not permitted to log in"):
        psycopg.connect(host=str(socket), port=cluster.port + 1, user=role, dbname="postgres")


def test_a_dump_leaves_the_system_out(cluster: Cluster, connect: Connect, make_role: MakeRole) -> None:
    connection = connect()
    run(connection, "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE INDEX ASYNC ON t (a)")
    run(connection, f"AWS IAM GRANT {make_role()} TO '{ARN}'")
    program = find_postgres() / "bin" / "pg_dump"
    dump = subprocess.run([program, "--dbname", cluster.dsn()], check=True, capture_output=True, text=True)
    assert dump.stderr == ""
    assert "CREATE TABLE" in dump.stdout
    for word in ("SCHEMA sys", "sys.", "borealis.", "EXTENSION", "SECURITY LABEL"):
        assert word not in dump.stdout


def test_objects_of_the_seed_keep_their_numbers(cluster: Cluster) -> None:
    """Journals of existing clusters name them."""
    expected = {
        "borealis": 12769,
        "borealis.tableam_handler(internal)": 12770,
        "borealis.catalog_state": 12772,
        "borealis.catalog_state[] type": 12773,
        "borealis.catalog_state type": 12774,
        "admin": 12775,
        "sys": 16000,
        "borealis extension": 16001,
        "borealis.session_export()": 16010,
        "borealis.session_import(bytea)": 16011,
        "borealis.session_log_in(integer,bytea)": 16012,
        "sys.iam_pg_role_mappings": 16020,
        "sys.iam_pg_role_mappings[] type": 16021,
        "sys.iam_pg_role_mappings type": 16022,
        "sys.start_job()": 16040,
        "sys.jobs": 16041,
        "sys.jobs[] type": 16042,
        "sys.jobs type": 16043,
        "sys.wait_for_job(text,boolean)": 16046,
    }
    with cluster.connect() as connection:
        found = connection.execute(
            """
            SELECT oid::regrole::text, oid::int FROM pg_roles WHERE rolname = 'admin'
            UNION ALL SELECT nspname, oid::int FROM pg_namespace WHERE nspname IN ('borealis', 'sys')
            UNION ALL SELECT extname || ' extension', oid::int FROM pg_extension WHERE extname = 'borealis'
            UNION ALL SELECT oid::regprocedure::text, oid::int FROM pg_proc
                WHERE pronamespace IN ('borealis'::regnamespace, 'sys'::regnamespace)
            UNION ALL SELECT oid::regclass::text, oid::int FROM pg_class
                WHERE relnamespace IN ('borealis'::regnamespace, 'sys'::regnamespace)
            UNION ALL SELECT oid::regtype::text || ' type', oid::int FROM pg_type
                WHERE typnamespace IN ('borealis'::regnamespace, 'sys'::regnamespace)
            """
        ).fetchall()
    assert dict(found) == expected

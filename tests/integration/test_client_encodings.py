"""Clients whose encoding is not UTF8: the server converts what they send, and all the rest is as for others."""

from __future__ import annotations

import psycopg
import pytest

from tests.cluster import Connection
from tests.conftest import Connect

# One word for each, in letters that the encoding has. The last bytes of some letters in SJIS are those of ASCII letters
# and of a backslash.
WORDS = {"LATIN1": "größe", "SJIS": "表ソ能", "EUC_JP": "表", "WIN1252": "naïve", "GBK": "数据"}

ARN = "arn:aws:iam::111122223333:role/example"


@pytest.fixture(params=WORDS)
def client(connect: Connect, request: pytest.FixtureRequest) -> Connection:
    connection = connect(2)
    connection.execute(f"SET client_encoding = '{request.param}'")
    return connection


@pytest.fixture
def word(client: Connection) -> str:
    found = client.execute("SHOW client_encoding").fetchone()
    assert found is not None
    return WORDS[str(found[0])]


@pytest.mark.parametrize("prepare", [None, True], ids=["simple", "extended"])
def test_what_another_instance_has_just_made_is_there(
    connect: Connect, client: Connection, word: str, prepare: bool | None
) -> None:
    """The wait for the catalogs of the moment comes before the first name is looked up."""
    other = connect(1)
    for number in range(40):
        name = f'"{word}_{number}"'
        other.execute(f"CREATE TABLE {name} AS SELECT {number} AS value")  # type: ignore[call-overload]
        assert client.execute(f"SELECT value FROM {name}", prepare=prepare).fetchall() == [(number,)]  # type: ignore[call-overload]


def test_a_query_of_several_statements_and_comments(connect: Connect, client: Connection, word: str) -> None:
    connect(1).execute(f'CREATE TABLE "{word}" AS SELECT 1 AS value')  # type: ignore[call-overload]
    cursor = client.execute(f'/* {word} */ ; (SELECT value FROM "{word}"); -- {word}\nSELECT 2')  # type: ignore[call-overload]
    assert cursor.nextset()
    assert cursor.fetchall() == [(2,)]


def test_the_dialect_is_understood(client: Connection, word: str, connect: Connect) -> None:
    name = f'"{word}"'
    client.execute(f"CREATE TABLE {name} (key int PRIMARY KEY, value int)")  # type: ignore[call-overload]
    cursor = client.execute(f"CREATE INDEX ASYNC ON {name} (value)")  # type: ignore[call-overload]
    assert [column.name for column in cursor.description or ()] == ["job_id"]
    cursor = client.execute(
        f'/* {word} */ CREATE UNIQUE INDEX ASYNC {name[:-1]}_i" ON {name} (value, key)', prepare=True
    )  # type: ignore[call-overload]
    assert cursor.description is not None
    client.execute(f"ALTER TABLE {name} ADD CONSTRAINT positive CHECK (value > 0) NOT VALID")  # type: ignore[call-overload]
    client.execute(f"ALTER TABLE ASYNC {name} VALIDATE CONSTRAINT positive")  # type: ignore[call-overload]

    role = f'"role {word}"'
    client.execute(f"CREATE ROLE {role} LOGIN")  # type: ignore[call-overload]
    try:
        client.execute(f"AWS IAM GRANT {role} TO '{ARN}'")  # type: ignore[call-overload]
        mappings = "SELECT arn FROM sys.iam_pg_role_mappings WHERE pg_role_name = %s"
        assert connect(1).execute(mappings, (f"role {word}",)).fetchall() == [(ARN,)]
        client.execute(f"SELECT 1; AWS IAM REVOKE {role} FROM '{ARN}'; SELECT '{word}'")  # type: ignore[call-overload]
        assert connect(1).execute(mappings, (f"role {word}",)).fetchall() == []
    finally:
        client.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]


def test_an_error_points_at_the_same_character(client: Connection, word: str) -> None:
    text = f"SELECT '{word}'; AWS IAM GRANT \"{word}\" TO nobody"
    with pytest.raises(psycopg.errors.SyntaxError) as caught:
        client.execute(text)  # type: ignore[call-overload]
    assert caught.value.diag.statement_position == str(text.index("nobody") + 1)


def test_words_of_functions_are_not_the_clients(client: Connection, connect: Connect, word: str) -> None:
    connect(1).execute(
        "CREATE FUNCTION looks_like() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'aws iam grant'; END $$"
    )
    query = f"SELECT looks_like() || ' async', '{word}'"
    assert client.execute(query).fetchall() == [("aws iam grant async", word)]  # type: ignore[call-overload]
    assert client.execute(query, prepare=True).fetchall() == [("aws iam grant async", word)]  # type: ignore[call-overload]

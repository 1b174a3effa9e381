"""Changes of a type that would reorder values in keys are refused, and only those."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.cluster import Connection
from tests.integration.library_server import library_connection

LABELS_MAX = 100


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with library_connection() as connection:
        yield connection


def sort_orders(connection: Connection, name: str) -> dict[object, object]:
    rows = connection.execute("SELECT enumlabel, enumsortorder FROM pg_enum WHERE enumtypid = %s::regtype", [name])
    return dict(rows.fetchall())  # type: ignore[arg-type]


def is_refused(connection: Connection, statement: str) -> bool:
    try:
        connection.execute("SELECT borealis_test.check_alter_type(%s)", [statement])
    except psycopg.errors.FeatureNotSupported as refused:
        return bool(refused.diag.message_hint)
    return False


KEYS_WITH_IT = {
    "direct": ("{}", "column_value"),
    "domain_array": ("domain_array_domain[]", "column_value"),
    "nested": ("nested_pair", "column_value"),
    "multirange": ("{}_multirange", "column_value"),
    "expression": ("integer", "(ARRAY['first'::{}])"),
}


@pytest.mark.parametrize("kind", KEYS_WITH_IT)
@pytest.mark.parametrize("place", ["AFTER 'first'", "BEFORE 'last'", "AFTER 'newest'"])
def test_adding_enum_labels_is_refused_just_when_keys_would_be_renumbered(
    connection: Connection, kind: str, place: str
) -> None:
    name = "labelled"
    column_type, key = (text.format(name) for text in KEYS_WITH_IT[kind])
    connection.execute(f"""
        CREATE TYPE {name} AS ENUM ('first', 'last');
        CREATE TYPE {name}_range AS RANGE (subtype = {name}, multirange_type_name = {name}_multirange);
        CREATE DOMAIN domain_array_domain AS {name};
        CREATE TYPE nested_pair AS (number integer, labels {name}[]);
        CREATE TABLE keyed (column_value {column_type});
        CREATE INDEX keyed_index ON keyed ({key});
    """)
    newest = "first"
    for number in range(LABELS_MAX):
        statement = f"ALTER TYPE {name} ADD VALUE 'label {number}' {place.replace('newest', newest)}"
        before = sort_orders(connection, name)
        if is_refused(connection, statement):
            break
        connection.execute(statement)
        newest = f"label {number}"
        assert before.items() <= sort_orders(connection, name).items(), f"{statement} renumbered stored labels"
    else:
        pytest.fail("PostgreSQL never had to renumber")

    # Elsewhere, for a label that is there already, and without keys of the type there is no reason to refuse.
    assert not is_refused(connection, f"ALTER TYPE {name} ADD VALUE 'at the end'")
    assert not is_refused(connection, f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS 'label 0' AFTER 'first'")
    assert not is_refused(connection, f"ALTER TYPE {name} RENAME VALUE 'first' TO 'begin'")
    connection.execute("DROP INDEX keyed_index")
    assert not is_refused(connection, statement)
    connection.execute(statement)
    assert not before.items() <= sort_orders(connection, name).items(), "the refusal came too early"
    connection.execute("DROP TABLE keyed; DROP TYPE nested_pair; DROP DOMAIN domain_array_domain")
    connection.execute(f"DROP TYPE {name}_range; DROP TYPE {name}")


@pytest.mark.parametrize("key", ["value", "(ARRAY[value])", "(int4range(1, 2)), (ROW(value)::shrinking_outer)"])
def test_changing_attributes_is_refused_while_keys_hold_them(connection: Connection, key: str) -> None:
    connection.execute(f"""
        CREATE TYPE shrinking AS (number integer, word text);
        CREATE TYPE shrinking_outer AS (inside shrinking);
        CREATE TABLE shrinkings (value shrinking);
        CREATE INDEX shrinkings_index ON shrinkings ({key});
    """)
    assert is_refused(connection, "ALTER TYPE shrinking DROP ATTRIBUTE number")
    assert is_refused(connection, "ALTER TYPE shrinking ALTER ATTRIBUTE number TYPE bigint")
    assert is_refused(connection, "ALTER TYPE public.shrinking ADD ATTRIBUTE more text, DROP ATTRIBUTE word CASCADE")
    assert not is_refused(connection, "ALTER TYPE shrinking ADD ATTRIBUTE more text")
    assert not is_refused(connection, "ALTER TYPE shrinking RENAME ATTRIBUTE number TO digits")
    assert not is_refused(connection, "ALTER TYPE unknown_type DROP ATTRIBUTE number")
    connection.execute("DROP INDEX shrinkings_index; CREATE INDEX ON shrinkings (((value).number)) INCLUDE (value)")
    assert not is_refused(connection, "ALTER TYPE shrinking DROP ATTRIBUTE number")
    connection.execute("DROP TABLE shrinkings; DROP TYPE shrinking_outer; DROP TYPE shrinking")

"""Comparison values of another type than the key column's: where the conversion puts them is where the operators do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster import Connection
from tests.integration.key_types import KEY_TYPES, KeyType
from tests.integration.library_server import library_connection

INTEGERS = ["smallint", "integer", "bigint"]
FLOATS = ["real", "double precision"]
CONVERTED = [
    *((column, other) for family in (INTEGERS, FLOATS) for column in family for other in family if column != other),
    ("text", "name"),
    ("name", "text"),
    ("date", "timestamp"),
    ("timestamp", "date"),
    ("timestamptz", "date"),
    ("timestamptz", "timestamp"),
]
# What they compare as depends on the column's value: the time zone's offset at that instant.
UNKNOWN = [("date", "timestamptz"), ("timestamp", "timestamptz")]
TYPES = {case.name: case for case in KEY_TYPES if case.opclass is None}
# No shrinking: a failure names the few wrong values already.
PROPERTY = settings(
    max_examples=8, deadline=None, phases=[Phase.reuse, Phase.generate], suppress_health_check=list(HealthCheck)
)
ZONES = ["UTC", "America/St_Johns", "Asia/Kathmandu"]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with library_connection() as connection:
        yield connection


def near(case: KeyType, others: KeyType) -> st.SearchStrategy[str]:
    """Values of one type, many of which are, or are close to, values of the other."""
    return st.one_of(case.values, st.sampled_from([*case.edges, *others.edges]))


def in_range(connection: Connection, case: KeyType, texts: list[str]) -> list[str]:
    """Those that the type can hold."""
    rows = connection.execute("SELECT t FROM unnest(%s::text[]) t WHERE pg_input_is_valid(t, %s)", [texts, case.name])
    return [str(text) for (text,) in rows]


@pytest.mark.parametrize(("column", "other"), CONVERTED)
@PROPERTY
@given(data=st.data())
def test_converted_comparand_lies_where_the_operators_say(
    connection: Connection, column: str, other: str, data: st.DataObject
) -> None:
    case, others = TYPES[column], TYPES[other]
    connection.execute(f"SET TimeZone = '{data.draw(st.sampled_from(ZONES))}'")
    values = in_range(connection, case, data.draw(st.lists(near(case, others), min_size=20, max_size=60)))
    comparands = in_range(connection, others, data.draw(st.lists(near(others, case), min_size=20, max_size=60)))
    query = f"""
        WITH pairs AS MATERIALIZED (
            SELECT {case.expression("v")} AS value, {others.expression("c")} AS comparand,
                borealis_test.encode_key({case.expression("v")}) AS value_key,
                borealis_test.convert_comparand({case.expression("v")}, {others.expression("c")}) AS converted
            FROM unnest(%s::text[]) v, unnest(%s::text[]) c),
        predicted AS (
            SELECT *, (converted).place AS place, CASE (converted).place
                WHEN 'below all' THEN 1
                WHEN 'equal' THEN (value_key > (converted).key)::int - (value_key < (converted).key)::int
                WHEN 'above' THEN CASE WHEN value_key > (converted).key THEN 1 ELSE -1 END END AS place_order
            FROM pairs)
        SELECT value::text, comparand::text, place FROM predicted
        WHERE place_order IS DISTINCT FROM (value > comparand)::int - (value < comparand)::int LIMIT 4
    """
    assert connection.execute(query, [values, comparands]).fetchall() == []


@pytest.mark.parametrize(("column", "other"), [*UNKNOWN, ("integer", "numeric"), ("oid", "bigint")])
def test_comparands_without_one_place_are_told(connection: Connection, column: str, other: str) -> None:
    values = [TYPES[name].expression(f"'{TYPES[name].edges[0]}'") for name in (column, other)]
    assert connection.execute(f"SELECT (borealis_test.convert_comparand({', '.join(values)})).place").fetchone() == (
        "unknown",
    )

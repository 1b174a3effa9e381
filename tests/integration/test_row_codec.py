"""A row's stored form gives the same row back, and a damaged one is an error, never a read out of bounds."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cluster import Connection
from tests.integration.key_types import KEY_TYPES, TYPE_DEFINITIONS, KeyType
from tests.integration.library_server import library_connection

# t_infomask (htup_details.h)
HEAP_HASNULL = 0x0001
HEAP_HASVARWIDTH = 0x0002
HEAP_XMIN_FROZEN = 0x0300
HEAP_XMAX_INVALID = 0x0800

FIXED_HEADER_SIZE = 23
MAXIMUM_ALIGNMENT = 8
ATTRIBUTES_MAX = 1600
PROPERTY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with library_connection() as connection:
        connection.execute(TYPE_DEFINITIONS)
        yield connection


def rounded_up(size: int) -> int:
    return -(-size // MAXIMUM_ALIGNMENT) * MAXIMUM_ALIGNMENT


def round_trip(connection: Connection, table: str) -> tuple[object, ...] | None:
    """First row whose decoded form differs, in any byte that PostgreSQL would compare or in what is stored of it."""
    return connection.execute(f"""
        SELECT stored FROM (SELECT t, borealis_test.row_encode(t) AS stored FROM {table} t) encoded
        WHERE NOT borealis_test.row_decode(stored, t) *= t
            OR borealis_test.row_encode(borealis_test.row_decode(stored, t)) <> stored
        LIMIT 1
    """).fetchone()


@PROPERTY
@given(data=st.data())
def test_rows_of_any_types_come_back_the_same(connection: Connection, data: st.DataObject) -> None:
    cases: list[KeyType] = data.draw(st.lists(st.sampled_from(KEY_TYPES), max_size=20))
    columns = range(len(cases))
    connection.execute("DROP TABLE IF EXISTS any_types")
    types = ", ".join(f"c{i} {cases[i].name}" for i in columns)
    connection.execute(f"CREATE TABLE any_types ({types})")
    values = ", ".join(f"{cases[i].expression('%s::text')}" for i in columns)
    for _ in range(data.draw(st.integers(1, 4))):
        row = [data.draw(st.one_of(st.none(), case.values)) for case in cases]
        connection.execute(f"INSERT INTO any_types SELECT {values}", row)
    assert round_trip(connection, "any_types") is None


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 255, ATTRIBUTES_MAX])
def test_null_bitmaps_of_every_width(connection: Connection, count: int) -> None:
    connection.execute("DROP TABLE IF EXISTS wide")
    connection.execute(f"CREATE TABLE wide ({', '.join(f'c{i} smallint' for i in range(count))})")
    for step in [1, 2, count + 1]:
        values = ", ".join("NULL" if i % step == 0 else str(i) for i in range(count))
        connection.execute(f"INSERT INTO wide VALUES ({values})" if count else "INSERT INTO wide DEFAULT VALUES")
    connection.execute("INSERT INTO wide DEFAULT VALUES")
    assert round_trip(connection, "wide") is None


def test_compressed_values_stay_compressed(connection: Connection) -> None:
    connection.execute("CREATE TABLE compressed (filler text, value text)")
    connection.execute("INSERT INTO compressed VALUES ('x', repeat('ab', 20000))")
    row = connection.execute(
        "SELECT pg_column_size(c.value), length(borealis_test.row_encode(c)), pg_column_size(d.value),"
        " d.value = c.value "
        "FROM compressed c, LATERAL borealis_test.row_decode(borealis_test.row_encode(c), c) d"
    ).fetchone()
    assert row is not None
    size, stored_size, decoded_size, is_same = row
    assert isinstance(size, int)
    assert isinstance(stored_size, int)
    assert size < stored_size < size + 16
    assert (decoded_size, is_same) == (size, True)


def test_rows_stored_before_a_column_was_added_take_its_default(connection: Connection) -> None:
    connection.execute("CREATE TABLE added (number integer, word text)")
    connection.execute("INSERT INTO added VALUES (1, NULL)")
    row = connection.execute("SELECT borealis_test.row_encode(a) FROM added a").fetchone()
    assert row is not None
    connection.execute("ALTER TABLE added DROP number, ADD later text DEFAULT 'default', ADD last bigint")
    decoded = connection.execute("SELECT borealis_test.row_decode(%s, NULL::added)::text", row).fetchone()
    assert decoded == ("(,default,)",)


def test_attribute_access_in_any_order(connection: Connection) -> None:
    """Values behind ones of variable width are found: the decoded header must not deny that there are such."""
    connection.execute('CREATE TABLE ordered (a text, b bigint, c text, d "char", e bigint)')
    connection.execute("INSERT INTO ordered VALUES ('some', 2, 'words', 'x', 5)")
    decoded = "borealis_test.row_decode(borealis_test.row_encode(o), o)"
    row = connection.execute(f"SELECT ({decoded}).e, ({decoded}).d, ({decoded}).c, ({decoded}).b FROM ordered o")
    assert row.fetchone() == (5, "x", "words", 2)


def stored_form(attributes: int, flags: int, rest: bytes) -> bytes:
    return attributes.to_bytes(2, "little") + bytes([flags]) + rest


@settings(parent=PROPERTY, max_examples=300)
@given(
    stored=st.one_of(
        st.binary(max_size=12),
        st.builds(stored_form, st.integers(0, 1700), st.integers(0, 2), st.binary(max_size=240)),
    )
)
@example(stored=b"")
@example(stored=stored_form(0, 0, b""))
@example(stored=stored_form(ATTRIBUTES_MAX, 1, b"\xff" * (ATTRIBUTES_MAX // 8)))
@example(stored=stored_form(9, 1, b"\xff"))
@example(stored=stored_form(0xFFFF, 0, b""))
def test_lengths_are_checked(connection: Connection, stored: bytes) -> None:
    try:
        row = connection.execute("SELECT borealis_test.row_decode_header(%s)", [stored]).fetchone()
    except psycopg.errors.DataCorrupted:
        row = None

    attributes = int.from_bytes(stored[:2], "little")
    has_nulls = len(stored) > 2 and stored[2] == 1
    bitmap = (attributes + 7) // 8 if has_nulls else 0
    is_sound = len(stored) >= 3 + bitmap and stored[2] <= 1 and attributes <= 1664
    if not is_sound:
        assert row is None
        return
    header = rounded_up(FIXED_HEADER_SIZE + bitmap)
    infomask = HEAP_HASVARWIDTH | HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID | (HEAP_HASNULL if has_nulls and bitmap else 0)
    assert row == ([attributes, infomask, header, header + len(stored) - 3 - bitmap],)

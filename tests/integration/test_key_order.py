"""The key encoding orders values exactly as PostgreSQL's own operator classes do.

PostgreSQL sorts generated values of every type by their operators and again by their encodings; both sorts must give
every row the same rank, which says that order and equality agree. Against a plain server that has the extension's
library, no cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster import Connection
from tests.integration.key_types import KEY_TYPES, TYPE_DEFINITIONS, KeyType
from tests.integration.library_server import library_connection

DIRECTIONS = [("ASC", "LAST"), ("ASC", "FIRST"), ("DESC", "LAST"), ("DESC", "FIRST")]
# No shrinking: a failure names the few wrong values already.
PROPERTY = settings(
    max_examples=8, deadline=None, phases=[Phase.reuse, Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with library_connection() as connection:
        connection.execute(TYPE_DEFINITIONS)
        yield connection


def order_by(case: KeyType, column: str, direction: str, nulls: str) -> str:
    greater = case.less.replace("<", ">")
    return f"{column} USING {case.less if direction == 'ASC' else greater} NULLS {nulls}"


def encoding(case: KeyType, column: str, direction: str, nulls: str) -> str:
    opclass = "NULL" if case.opclass is None else f"'{case.opclass}'"
    return f"borealis_test.encode_key({column}, {direction == 'DESC'}, {nulls == 'FIRST'}, {opclass})"


def assert_same_order(
    connection: Connection,
    cases: Sequence[KeyType],
    rows: Sequence[Sequence[str | None]],
    orders: Sequence[tuple[str, str]],
) -> None:
    """Ranks rows of one or more columns by values and by concatenated encodings, in one query."""
    columns = range(len(cases))
    values = ", ".join(f"{cases[i].expression(f't{i}')} AS c{i}" for i in columns)
    sources = ", ".join("%s::text[]" for _ in columns)
    names = ", ".join(f"t{i}" for i in columns)
    by_value = ", ".join(order_by(cases[i], f"c{i}", *orders[i]) for i in columns)
    key = " || ".join(encoding(cases[i], f"c{i}", *orders[i]) for i in columns)
    query = f"""
        WITH typed AS MATERIALIZED (SELECT {values}, {names} FROM unnest({sources}) AS source ({names})),
            encoded AS MATERIALIZED (SELECT *, {key} AS key FROM typed),
            ranked AS (
                SELECT *, dense_rank() OVER (ORDER BY {by_value}) AS value_rank,
                    dense_rank() OVER (ORDER BY key) AS key_rank, lag(key) OVER (ORDER BY key) AS previous
                FROM encoded)
        SELECT {names}, value_rank, key_rank, encode(key, 'hex'), encode(previous, 'hex') FROM ranked
        WHERE value_rank <> key_rank
            OR (previous <> key AND substring(key FOR length(previous)) = previous)
        ORDER BY least(value_rank, key_rank) LIMIT 4
    """
    # In key order a prefix of any key is a prefix of its successor, so neighbours are enough.
    wrong = connection.execute(query, [list(column) for column in zip(*rows, strict=True)]).fetchall()
    assert not wrong, f"order or prefix differs: {wrong}"


@pytest.mark.parametrize("case", KEY_TYPES, ids=str)
@PROPERTY
@given(data=st.data())
def test_order_of_encodings_is_the_order_of_the_operator_class(
    connection: Connection, case: KeyType, data: st.DataObject
) -> None:
    generated = data.draw(st.lists(case.values, min_size=30, max_size=150))
    rows = [(text,) for text in [*case.edges, *generated, None]]
    for order in DIRECTIONS:
        assert_same_order(connection, [case], rows, [order])


@settings(parent=PROPERTY, max_examples=40)
@given(data=st.data())
def test_concatenated_columns_order_lexicographically(connection: Connection, data: st.DataObject) -> None:
    cases = data.draw(st.lists(st.sampled_from(KEY_TYPES), min_size=2, max_size=3))
    orders = data.draw(st.tuples(*(st.sampled_from(DIRECTIONS) for _ in cases)))
    # Few values of each column, so that many rows agree in the first ones.
    pools = [[None, *data.draw(st.lists(case.values, min_size=2, max_size=6))] for case in cases]
    assert_same_order(connection, cases, list(product(*pools)), orders)


def test_longest_numbers_keep_their_order(connection: Connection) -> None:
    longest = "9" * 131072 + "." + "9" * 16383
    numbers = [longest, "-" + longest, longest[:-1], longest[:-1] + "8", "-" + longest[:-1], "1e131071", "Infinity"]
    assert_same_order(connection, [KeyType("numeric", st.nothing())], [(text,) for text in numbers], [("ASC", "LAST")])


def test_every_btree_operator_class_is_tried_or_refused(connection: Connection) -> None:
    """An operator class of PostgreSQL cannot be forgotten."""
    tried = [case.opclass for case in KEY_TYPES if case.opclass]
    values = ", ".join(f"pg_typeof({case.expression('NULL')})" for case in KEY_TYPES if not case.opclass)
    untried = connection.execute(
        f"""
        WITH tried (name, type, kind) AS (
            SELECT typname, oid, CASE
                WHEN typcategory = 'A' AND typsubscript = 'array_subscript_handler'::regproc THEN 'anyarray'
                WHEN typtype = 'e' THEN 'anyenum' WHEN typtype = 'r' THEN 'anyrange'
                WHEN typtype = 'm' THEN 'anymultirange' WHEN typtype = 'c' THEN 'record' END::regtype
            FROM pg_type WHERE oid IN ({values}))
        SELECT opcname FROM pg_opclass WHERE opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')
            AND opcname <> ALL (%s)
            AND NOT (opcdefault AND EXISTS (SELECT FROM tried WHERE opcintype IN (type, kind)))
        ORDER BY opcname
        """,
        [tried],
    ).fetchall()
    # The first two are other names of text_ops and inet_ops.
    assert [name for (name,) in untried] == ["cidr_ops", "record_image_ops", "varchar_ops"]


def refusal_of(connection: Connection, expression: str) -> tuple[str, str]:
    """Message and hint of the error that a key column of this value meets; both functions must refuse."""
    row = connection.execute(f"SELECT borealis_test.key_refusal({expression})").fetchone()
    with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
        connection.execute(f"SELECT borealis_test.encode_key({expression})")
    assert row == (refused.value.diag.message_primary,)
    assert refused.value.diag.message_hint
    return refused.value.diag.message_primary or "", refused.value.diag.message_hint


REFUSED_DEFINITIONS = """
CREATE COLLATION other_collation (provider = libc, locale = 'C.utf8');
CREATE TYPE other_word AS (word text COLLATE other_collation);
CREATE TYPE other_range AS RANGE (subtype = text, collation = other_collation);
CREATE TYPE spot AS (place point);
CREATE TABLE row_source (number integer);
CREATE FUNCTION reverse_compare(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE
    AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR CLASS reverse_ops FOR TYPE integer USING btree
    AS OPERATOR 1 > , OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 reverse_compare;
CREATE TYPE reverse_range AS RANGE (subtype = integer, subtype_opclass = reverse_ops);
CREATE TYPE odd AS (number integer);
CREATE FUNCTION odd_compare(odd, odd) RETURNS integer LANGUAGE sql IMMUTABLE
    AS 'SELECT btint4cmp($2.number, $1.number)';
CREATE OPERATOR CLASS odd_ops DEFAULT FOR TYPE odd USING btree AS FUNCTION 1 odd_compare;
"""

OTHER_ORDER = 'collation "other_collation" cannot order a key'
REFUSED = {
    "'a'::text COLLATE other_collation": OTHER_ORDER,
    "'a'::char(3) COLLATE other_collation": OTHER_ORDER,
    "'a'::name COLLATE other_collation": OTHER_ORDER,
    "'{a}'::text[] COLLATE other_collation": OTHER_ORDER,
    "'(a)'::other_word": OTHER_ORDER,
    "'{(a)}'::other_word[]": OTHER_ORDER,
    "'[a,b)'::other_range": OTHER_ORDER,
    "'{[a,b)}'::other_multirange": OTHER_ORDER,
    "'a'::varchar COLLATE other_collation, opclass => 'varchar_ops'": OTHER_ORDER,
    "1, opclass => 'reverse_ops'": 'operator family "reverse_ops" cannot order a key',
    "'[2,1)'::reverse_range": 'operator family "reverse_ops" cannot order a key',
    "'(1)'::odd": 'operator family "odd_ops" cannot order a key',
    "ARRAY['(1)'::odd]": 'operator family "odd_ops" cannot order a key',
    "'(1)'::odd, opclass => 'record_image_ops'": 'operator family "record_image_ops" cannot order a key',
    "ROW(1, 2)": "row type record cannot be a key",
    "NULL::row_source": "row type row_source cannot be a key",
    "'{}'::row_source[]": "row type row_source cannot be a key",
    "'{}'::point[]": "type point cannot be a part of a key: it has no order",
    "'(\"(1,2)\")'::spot": "type point cannot be a part of a key: it has no order",
    "'{}'::json[]": "type json cannot be a part of a key: it has no order",
}


@pytest.fixture(scope="module")
def refused_types(connection: Connection) -> None:
    connection.execute(REFUSED_DEFINITIONS)


@pytest.mark.usefixtures("refused_types")
@pytest.mark.parametrize(("expression", "message"), REFUSED.items())
def test_orders_that_bytes_cannot_follow_are_refused(connection: Connection, expression: str, message: str) -> None:
    assert refusal_of(connection, expression)[0] == message


@pytest.mark.usefixtures("refused_types")
@pytest.mark.parametrize("collation", ["C", "POSIX", "ucs_basic", "default"])
def test_bytewise_collations_are_taken(connection: Connection, collation: str) -> None:
    row = connection.execute(f"SELECT borealis_test.encode_key('ab'::text COLLATE \"{collation}\")").fetchone()
    assert row == (b"\x02ab\x00",)


@pytest.mark.usefixtures("refused_types")
def test_pattern_classes_compare_bytes_in_any_collation(connection: Connection) -> None:
    row = connection.execute(
        "SELECT borealis_test.encode_key('ab'::text COLLATE other_collation, opclass => 'text_pattern_ops')"
    ).fetchone()
    assert row == (b"\x02ab\x00",)


def test_attribute_added_later_leaves_stored_keys_valid(connection: Connection) -> None:
    """A stored composite value without the new attribute equals one where it is NULL."""
    connection.execute("CREATE TYPE growing AS (number integer)")
    connection.execute("CREATE TABLE growing_values (value growing)")
    connection.execute("INSERT INTO growing_values VALUES (ROW(1)::growing), (ROW(NULL)::growing)")
    encode = "SELECT array_agg(borealis_test.encode_key(value) ORDER BY value) FROM growing_values"
    before = connection.execute(encode).fetchone()
    connection.execute("ALTER TYPE growing ADD ATTRIBUTE word text")
    assert connection.execute(encode).fetchone() == before
    query = "SELECT (SELECT array_agg(borealis_test.encode_key(ROW(n, NULL)::growing)) FROM (VALUES (1), (NULL)) v (n))"
    assert connection.execute(query).fetchone() == before


def test_toasted_values_are_read_whole(connection: Connection) -> None:
    connection.execute("CREATE TABLE long_values (compressed text, external bytea)")
    connection.execute("ALTER TABLE long_values ALTER external SET STORAGE external")
    connection.execute("INSERT INTO long_values VALUES (repeat('ab', 50000), convert_to(repeat('ab', 50000), 'UTF8'))")
    row = connection.execute(
        "SELECT borealis_test.encode_key(compressed), borealis_test.encode_key(external) FROM long_values"
    ).fetchone()
    assert row == (b"\x02" + b"ab" * 50000 + b"\x00", b"\x02" + b"ab" * 50000 + b"\x00\x01")

"""The btree-able types of PostgreSQL, each with a source of values that are hard to keep apart.

Owns: for every type, how its values are written as text, and which of them lie at the edges of its encoding.
Promises: every generated text is a legal value of its type; small alphabets and ranges make equal and almost equal
values likely.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]


@dataclass(frozen=True, repr=False)
class KeyType:
    """A type under one operator class.

    `cast` makes a value of a text (`{}`), `opclass` is None for the type's default one, and `less` is the operator
    that sorts by it.
    """

    name: str
    values: Texts
    edges: Sequence[str] = ()
    cast: str = ""
    opclass: str | None = None
    less: str = "<"

    def __repr__(self) -> str:
        return f"{self.name} {self.opclass or ''}".strip()

    def expression(self, text: str) -> str:
        return (self.cast or f"({{}})::{self.name}").format(text)


# Types that the tests create. Labels added between others have odd object ids; one is added before the first.
TYPE_DEFINITIONS = """
CREATE TYPE mood AS ENUM ('low', 'middle', 'high');
ALTER TYPE mood ADD VALUE 'lower' BEFORE 'middle';
ALTER TYPE mood ADD VALUE 'lowest' BEFORE 'low';
ALTER TYPE mood ADD VALUE 'higher' AFTER 'middle';
ALTER TYPE mood ADD VALUE 'highest';
CREATE TYPE pair AS (number integer, word text);
CREATE TYPE nest AS (pair pair, moods mood[], span numrange, flag boolean);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN words AS text[];
CREATE TYPE text_range AS RANGE (subtype = text, collation = "C", multirange_type_name = text_multirange);
CREATE TYPE float_range AS RANGE (subtype = float8);
"""

MOODS = ["lowest", "low", "lower", "middle", "higher", "high", "highest"]
NUL_FREE = st.characters(codec="utf-8", exclude_characters="\0")


def integers(bits: int) -> Texts:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.one_of(st.integers(low, high), st.integers(-3, 3), st.integers(low, low + 2)).map(str)


def integer_edges(bits: int) -> list[str]:
    powers = [sign * 2**n + d for n in range(0, bits, 8) for sign in (-1, 1) for d in (-1, 0, 1)]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return [str(n) for n in [*powers, low, low + 1, high, high - 1, 0] if low <= n <= high]


def unsigned(bits: int) -> Texts:
    return st.one_of(st.integers(0, 2**bits - 1), st.integers(0, 3)).map(str)


def floats(width: int) -> Texts:
    def text(value: float) -> str:
        return "NaN" if math.isnan(value) else repr(value).replace("inf", "Infinity")

    return st.one_of(st.floats(width=width), st.sampled_from([0.0, -0.0, 1.0])).map(text)  # type: ignore[arg-type]


FLOAT_EDGES = ["NaN", "Infinity", "-Infinity", "0", "-0", "1", "-1", "1e-37", "-1e-37", "3.4e38", "-3.4e38"]
DOUBLE_EDGES = [*FLOAT_EDGES, "5e-324", "-5e-324", "2.2250738585072014e-308", "1.7976931348623157e308"]

NUMERIC_EDGES = [
    *("NaN", "Infinity", "-Infinity", "0", "0.000", "1", "1.0", "1.00", "-1", "-1.0", "9999", "10000", "10001"),
    *(
        "-9999",
        "-10000",
        "-10001",
        "1e-4",
        "1e-5",
        "1.0001",
        "1.00010001",
        "100010001",
        "1e131071",
        "-1e131071",
        "1e-16383",
    ),
    *("-1e-16383", "1e63", "1e64", "1e252", "1e256", "1e-252", "1e-256", "1e-260", "0.9999", "0.99999999", "-0.9999"),
    *("99990000", "9999000000000000"),
]


def numerics() -> Texts:
    digits = st.text("019", min_size=1, max_size=12)
    plain = st.tuples(st.sampled_from(["", "-"]), digits, st.one_of(st.just("0"), digits)).map(
        lambda parts: f"{parts[0]}{parts[1]}.{parts[2]}"
    )
    scaled = st.tuples(plain, st.integers(-40, 40)).map(lambda parts: f"{parts[0]}e{parts[1]}")
    long = st.tuples(st.integers(-(10**30), 10**30), st.integers(-30, 0)).map(lambda parts: f"{parts[0]}e{parts[1]}")
    return st.one_of(plain, scaled, long, st.sampled_from(["NaN", "Infinity", "-Infinity", "0"]))


TEXT_EDGES = [
    *("", " ", "  ", "a", "a ", "a\x01", "a\x7f", "aa", "ab", "é", "ÿ", "\x01", "\U0010ffff"),
    *("a" * 300, "a" * 301),
]


def texts(max_size: int = 12) -> Texts:
    return st.one_of(st.text("ab \x01é", max_size=max_size), st.text(NUL_FREE, max_size=max_size))


def hexadecimal(data: bytes) -> str:
    return "\\x" + data.hex()


def byte_strings() -> Texts:
    alphabet = st.sampled_from([0x00, 0x01, 0x02, 0x7F, 0xFE, 0xFF])
    return st.one_of(st.lists(alphabet, max_size=8).map(bytes), st.binary(max_size=20)).map(hexadecimal)


BYTE_EDGES = [
    hexadecimal(b) for b in (b"", b"\0", b"\0\0", b"\0\x01", b"\0\xff", b"\x01", b"\xff", b"\xff\0", b"\0" * 99)
]

dates = st.dates().map(str)
times = st.times().map(str)
zones = st.one_of(st.sampled_from([0, 3600, -3600]), st.integers(-57599, 57599)).map(
    lambda s: f"{'-' if s < 0 else '+'}{abs(s) // 3600:02}:{abs(s) // 60 % 60:02}:{abs(s) % 60:02}"
)
timestamps = st.datetimes().map(str)
DATE_EDGES = [
    "infinity",
    "-infinity",
    "4714-11-24 BC",
    "4713-01-01 BC",
    "0001-12-31 BC",
    "0001-01-01",
    "1999-12-31",
    "2000-01-01",
]
TIMESTAMP_EDGES = [
    *DATE_EDGES,
    "294276-12-31 23:59:59.999999",
    "2000-01-01 00:00:00.000001",
    "1999-12-31 23:59:59.999999",
]
TIMETZ_EDGES = ["00:00+00", "01:00+01", "23:00-01", "24:00:00+00", "24:00:00-15:59", "00:00+15:59", "12:00+03:30"]

INTERVAL_EDGES = [
    *(
        "1 mon",
        "30 days",
        "720 hours",
        "29 days 24 hours",
        "1 mon -1 day",
        "29 days",
        "1 day",
        "24 hours",
        "0",
        "-1 mon",
    ),
    *("-30 days", "178956970 years 7 mons", "-178956970 years -8 mons", "2147483647 days", "-2147483648 days"),
    *("178956970 years 7 mons 2147483647 days", "2562047788:00:54.775807", "-2562047788:00:54.775807", "1 microsecond"),
]
intervals = st.tuples(
    st.one_of(st.integers(-2, 2), st.integers(-(2**30), 2**30)),
    st.one_of(st.sampled_from([0, 1, 29, 30, 31, -30]), st.integers(-(2**30), 2**30)),
    st.one_of(st.sampled_from([0, 1, 24 * 3600 * 10**6, -1]), st.integers(-(2**50), 2**50)),
).map(lambda parts: f"{parts[0]} months {parts[1]} days {parts[2]} microseconds")


def addresses(limit: int) -> Texts:
    """IPv4 and IPv6 addresses with netmasks."""
    octet = st.sampled_from([0, 1, 2, 127, 128, 255])
    four = st.tuples(octet, octet, octet, octet, st.integers(0, 32)).map(lambda p: "{}.{}.{}.{}/{}".format(*p))
    group = st.sampled_from(["0", "1", "8000", "ffff"])
    six = st.tuples(st.lists(group, min_size=8, max_size=8), st.integers(0, limit)).map(
        lambda p: f"{':'.join(p[0])}/{p[1]}"
    )
    return st.one_of(four, six)


INET_EDGES = [
    "0.0.0.0/0",
    "0.0.0.0",
    "255.255.255.255",
    "10.0.0.0/8",
    "10.0.0.0/9",
    "10.0.0.1/8",
    "::/0",
    "::1",
    "::1/127",
]


def bits() -> Texts:
    return st.text("01", max_size=24)


BIT_EDGES = ["", "0", "1", "00", "10", "10000000", "100000000", "00000000", "000000000", "1" * 16, "1" * 17]

uuids = st.uuids().map(str)
macaddrs = st.integers(0, 2**48 - 1).map(lambda n: f"{n:012x}")
macaddr8s = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2)).map(lambda n: f"{n:016x}")
tids = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)).map(lambda p: f"({p[0]},{p[1]})")
lsns = st.integers(0, 2**64 - 1).map(lambda n: f"{n >> 32:X}/{n & 0xFFFFFFFF:X}")


def quoted(text: str) -> str:
    """A member of an array, range or composite literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def arrays(elements: Texts) -> Texts:
    member = st.one_of(elements.map(quoted), st.just("NULL"))
    flat = st.lists(member, max_size=4).map(lambda items: "{" + ",".join(items) + "}")
    shifted = st.tuples(st.integers(-2, 3), st.lists(member, min_size=1, max_size=3)).map(
        lambda p: f"[{p[0]}:{p[0] + len(p[1]) - 1}]={{{','.join(p[1])}}}"
    )
    square = st.lists(st.tuples(member, member), min_size=1, max_size=2).map(
        lambda rows: "{" + ",".join("{" + ",".join(row) + "}" for row in rows) + "}"
    )
    return st.one_of(flat, shifted, square)


def ranges(bounds: Texts, key: type = int) -> Texts:
    def text(first: str | None, second: str | None, opening: str, closing: str) -> str:
        if first is not None and second is not None and key(first) > key(second):
            first, second = second, first
        shown = ["" if bound is None else quoted(bound) for bound in (first, second)]
        return f"{opening}{shown[0]},{shown[1]}{closing}"

    bound = st.one_of(bounds, st.none())
    return st.one_of(st.just("empty"), st.builds(text, bound, bound, st.sampled_from("[("), st.sampled_from(")]")))


def multiranges(bounds: Texts, key: type = int) -> Texts:
    return st.lists(ranges(bounds, key), max_size=3).map(lambda items: "{" + ",".join(items) + "}")


small_integers = st.integers(-3, 6).map(str)
small_words = st.text('ab ,"\\', max_size=3)

json_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab\x01é", max_size=3),
)
jsons = st.recursive(
    json_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abé", max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
).map(json.dumps)
JSON_EDGES = ["null", "[]", "{}", "[null]", "[[]]", "[{}]", "1", "[1]", "1.0", "[1.00]", '""', '[""]', "true", "false"]

pairs = st.tuples(st.one_of(small_integers, st.just("")), st.one_of(small_words.map(quoted), st.just(""))).map(
    lambda p: f"({p[0]},{p[1]})"
)
nests = st.tuples(
    st.one_of(pairs.map(quoted), st.just("")),
    st.one_of(arrays(st.sampled_from(MOODS)).map(quoted), st.just("")),
    st.one_of(ranges(small_integers).map(quoted), st.just("")),
    st.sampled_from(["t", "f", ""]),
).map(lambda p: f"({','.join(p)})")

lexemes = st.tuples(st.text("ab", min_size=1, max_size=2), st.sampled_from(["", ":1", ":2A", ":1,3B", ":16383"])).map(
    "".join
)
vectors = st.lists(lexemes, max_size=4).map(" ".join)
queries = st.recursive(
    st.tuples(st.text("ab", min_size=1, max_size=2), st.sampled_from(["", ":A", ":*"])).map("".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&", "|", "<->", "<2>"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda item: f"!({item})"),
    ),
    max_leaves=4,
)

KEY_TYPES = [
    KeyType("boolean", st.sampled_from(["true", "false"])),
    KeyType('"char"', st.sampled_from(["", "a", "b", "\\001", "\\177", "\\200", "\\377"])),
    KeyType("smallint", integers(16), integer_edges(16)),
    KeyType("integer", integers(32), integer_edges(32)),
    KeyType("bigint", integers(64), integer_edges(64)),
    KeyType("oid", unsigned(32), ["0", "1", "2147483647", "2147483648", "4294967295"]),
    KeyType("regtype", unsigned(32), ["0", "2147483648", "4294967295"]),
    KeyType("xid8", unsigned(64), ["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"]),
    KeyType("pg_lsn", lsns, ["0/0", "0/1", "1/0", "7FFFFFFF/FFFFFFFF", "80000000/0", "FFFFFFFF/FFFFFFFF"]),
    KeyType("tid", tids, ["(0,0)", "(0,65535)", "(1,0)", "(4294967295,65535)", "(2147483648,1)"]),
    KeyType("real", floats(32), FLOAT_EDGES),
    KeyType("double precision", floats(64), DOUBLE_EDGES),
    KeyType("numeric", numerics(), NUMERIC_EDGES),
    KeyType(
        "money",
        integers(62),
        ["0", "0.01", "-0.01", "92233720368547758.07"],
        "(({})::numeric / 100)::money",
    ),
    KeyType("text", texts(), TEXT_EDGES),
    KeyType("varchar", texts(), TEXT_EDGES),
    KeyType("char(8)", texts(6), ["", " ", "a", "a ", "a\x01", "ab", "é "]),
    KeyType("name", texts(), ["", "a", "a" * 62, "a" * 63, "a" * 64, "é" * 32]),
    KeyType("text", texts(), TEXT_EDGES, opclass="text_pattern_ops", less="~<~"),
    KeyType("varchar", texts(), TEXT_EDGES, opclass="varchar_pattern_ops", less="~<~"),
    KeyType("bpchar", texts(), TEXT_EDGES, opclass="bpchar_pattern_ops", less="~<~"),
    KeyType("bytea", byte_strings(), BYTE_EDGES),
    KeyType("date", dates, [*DATE_EDGES, "5874897-12-31"]),
    KeyType("time", times, ["00:00", "24:00", "23:59:59.999999"]),
    KeyType("timetz", st.tuples(times, zones).map("".join), TIMETZ_EDGES),
    KeyType("timestamp", timestamps, TIMESTAMP_EDGES),
    KeyType("timestamptz", timestamps, [*TIMESTAMP_EDGES, "4714-11-24 00:00+00 BC", "294276-12-31 23:59:59.999999+00"]),
    KeyType("interval", intervals, INTERVAL_EDGES),
    KeyType("uuid", uuids, ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    KeyType("macaddr", macaddrs, ["000000000000", "7fffffffffff", "800000000000", "ffffffffffff"]),
    KeyType("macaddr8", macaddr8s, ["0000000000000000", "7fffffffffffffff", "8000000000000000", "ffffffffffffffff"]),
    KeyType("inet", addresses(128), INET_EDGES),
    KeyType("cidr", addresses(128), INET_EDGES, "network(({})::inet)"),
    KeyType("varbit", bits(), BIT_EDGES),
    KeyType("bit(12)", bits(), BIT_EDGES, "({})::bit(12)"),
    KeyType("oidvector", st.lists(st.sampled_from(["0", "1", "4294967295"]), max_size=4).map(" ".join), ["", "1 2 3"]),
    KeyType("mood", st.sampled_from(MOODS), MOODS),
    KeyType("positive", st.integers(1, 2**31 - 1).map(str), ["1", "2"]),
    KeyType("integer[]", arrays(small_integers), ["{}", "{NULL}", "{{1},{2}}", "{{1,2}}", "{1,2}", "[0:1]={1,2}"]),
    KeyType("text[]", arrays(small_words), ["{}", '{""}', '{"",""}', "{NULL}", '{"a"}']),
    KeyType("bytea[]", arrays(byte_strings()), ["{}"]),
    KeyType("numeric[]", arrays(st.sampled_from(["1", "1.0", "-1", "NaN"])), ["{}"]),
    KeyType("mood[]", arrays(st.sampled_from(MOODS)), ["{}"]),
    KeyType("words", arrays(small_words), ["{}"]),
    KeyType("int2vector", st.lists(st.sampled_from(["-1", "0", "1"]), max_size=4).map(" ".join), ["", "1 2 3"]),
    KeyType("int4range", ranges(small_integers), ["empty", "(,)", "[1,1]", "(1,2)", "[1,)"]),
    KeyType(
        "numrange", ranges(small_integers), ["empty", "(,)", "[1,1]", "(1,2)", "[1,2]", "[1,2)", "(1,2]", "[1.0,)"]
    ),
    KeyType("tsrange", ranges(st.sampled_from(["2000-01-01", "2000-01-02", "infinity"]), str), ["empty", "(,)"]),
    KeyType("text_range", ranges(st.text("ab", max_size=2), str), ["empty", "(,)", "[a,a]", "(a,b)"]),
    KeyType("int4multirange", multiranges(small_integers), ["{}", "{(,)}", "{[1,2)}", "{[1,2),[3,4)}", "{(,1),(3,)}"]),
    KeyType("text_multirange", multiranges(st.text("ab", max_size=2), str), ["{}", "{(,)}"]),
    KeyType("pair", pairs, ["(,)", "(1,)", "(,a)"]),
    KeyType("nest", nests, ["(,,,)"]),
    KeyType("pair[]", arrays(pairs), ["{}"]),
    KeyType("jsonb", jsons, JSON_EDGES),
    KeyType("tsvector", vectors, [""]),
    KeyType("tsquery", queries, [""]),
]

"""Reads in C of a map that py-lmdb wrote return what a naive model returns: any key, range, direction and timestamp.

The map is written by another process than the one that reads it, with the engine that storage uses.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lmdb
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from borealis.host.account import NOBODY
from tests.cluster import Connection
from tests.integration.c_units import build_units, units_server
from tests.integration.plain_server import connect, unprivileged_folder

MAP_SIZE = 1 << 30
READERS_MAX = 5
TIMESTAMP_MAX = (1 << 63) - 1
MANY = 1 << 20

Item = tuple[bytes, bytes]


def stored_key(key: bytes, timestamp: int) -> bytes:
    return key + struct.pack(">Q", (1 << 64) - 1 - timestamp)


@dataclass
class Versions:
    """The naive model: every version of every key."""

    stored: dict[bytes, dict[int, bytes]] = field(default_factory=dict)

    def read(self, key: bytes, timestamp: int) -> bytes | None:
        seen = [one for one in self.stored.get(key, {}) if one <= timestamp]
        return (self.stored[key][max(seen)] or None) if seen else None

    def read_range(self, lower: bytes, upper: bytes, backward: bool, timestamp: int) -> list[Item]:
        keys = [key for key in self.stored if key >= lower and (key < upper or not upper)]
        values = [(key, self.read(key, timestamp)) for key in sorted(keys, reverse=backward)]
        return [(key, value) for key, value in values if value is not None]


class Map:
    """The storage process's side of a map."""

    def __init__(self, folder: Path, name: str | None = None, size: int = MAP_SIZE) -> None:
        self.folder = folder / (name or f"map-{len(list(folder.iterdir()))}")
        self.folder.mkdir()
        self.size = size
        self.environment = lmdb.open(
            str(self.folder), map_size=size, max_dbs=2, max_readers=READERS_MAX, lib_version=1, sync=False
        )
        self.versions = self.environment.open_db(b"versions")
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.iterdir()]:
                os.chown(path, NOBODY, NOBODY)

    def write(self, model: Versions) -> None:
        with self.environment.begin(write=True) as transaction:
            for key, versions in model.stored.items():
                for timestamp, value in versions.items():
                    transaction.put(stored_key(key, timestamp), value, db=self.versions)

    def leaf_pages(self) -> int:
        with self.environment.begin(db=self.versions) as transaction:
            return int(transaction.stat(self.versions)["leaf_pages"])

    def replace(self, model: Versions) -> None:
        with self.environment.begin(write=True) as transaction:
            transaction.drop(self.versions, delete=False)
        self.write(model)

    def readers(self) -> int:
        return str(self.environment.readers()).count("\n") - 1


def configure(connection: Connection, map_: Map, *, is_below_horizon: bool = False) -> None:
    arguments = [str(map_.folder), map_.size, READERS_MAX, is_below_horizon]
    connection.execute("SELECT units.configure(%s, %s, %s, %s, 0)", arguments)


def read_range(
    connection: Connection,
    bounds: tuple[bytes, bytes],
    backward: bool,
    timestamp: int,
    *,
    keys_only: bool = False,
    bytes_wanted: int = MANY,
    items_wanted: int = MANY,
) -> list[list[Item]]:
    """All batches of a range."""
    lower, upper = bounds
    batches = []
    while True:
        arguments = [lower, upper, backward, keys_only, timestamp, bytes_wanted, items_wanted]
        query = "SELECT keys, vals, is_end, resume FROM units.read_range(%b, %b, %s, %s, %s, %s, %s)"
        row = connection.execute(query, arguments, binary=True).fetchone()
        assert row is not None
        keys, values, is_end, resume = row
        batches.append(list(zip(keys, values, strict=True)))  # type: ignore[call-overload]
        if is_end:
            return batches
        assert isinstance(resume, bytes)
        if backward:
            assert not upper or resume < upper
            upper = resume
        else:
            assert resume > lower
            lower = resume


def flatten(batches: Sequence[Sequence[Item]]) -> list[Item]:
    return [item for batch in batches for item in batch]


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    with units_server(build_units()) as folder:
        yield folder


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with unprivileged_folder("borealis-map-") as folder:
        yield folder


@pytest.fixture
def connection(server: Path) -> Iterator[Connection]:
    """A backend opens one map in its life."""
    with connect(server) as connection:
        yield connection


@pytest.fixture(scope="module")
def shared_map(folder: Path) -> Map:
    return Map(folder)


@pytest.fixture(scope="module")
def shared_connection(server: Path, shared_map: Map) -> Iterator[Connection]:
    with connect(server) as connection:
        configure(connection, shared_map)
        yield connection


def key_of(number: int) -> bytes:
    """Self-delimiting and of several lengths, so that none is a prefix of another."""
    return b"\x10" + struct.pack(">IB", 1, number % 7) + (b"\x01" * (number % 7 % 3)) + b"\x00" + bytes([number])


KEYS = [key_of(number) for number in range(12)]
# Bounds that are keys, beginnings of keys, and lie just behind keys, where timestamps may mislead.
BOUNDS = [b"", b"\x10", b"\x10\x00\x00\x00\x02", b"\xff" * 20]
BOUNDS += [
    bound for key in KEYS for bound in (key, key[:-1], key + b"\x00", key + b"\xff", key + b"\xe8" + b"\x00" * 30)
]
# Small timestamps make inverted ones that begin with 0xff, real ones lie in the middle.
TIMESTAMPS = [0, 1, 2, 3, 1_800_000_000_000_000_000, 1_800_000_000_000_000_001, TIMESTAMP_MAX]

timestamps = st.one_of(st.sampled_from(TIMESTAMPS), st.integers(0, 60))
values = st.one_of(
    st.just(b""), st.binary(min_size=1, max_size=12), st.integers(13, 9000).map(lambda size: b"v" * size)
)


@st.composite
def models(draw: st.DrawFn) -> Versions:
    model = Versions()
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
        if draw(st.integers(0, 4)) == 0:
            # More versions than are stepped over before a seek.
            model.stored[key] = {one: draw(values) for one in range(draw(st.integers(17, 60)))}
        else:
            model.stored[key] = draw(st.dictionaries(timestamps, values, min_size=1, max_size=4))
    return model


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    model=models(),
    bounds=st.lists(st.tuples(st.sampled_from(BOUNDS), st.sampled_from(BOUNDS)), min_size=3, max_size=3),
    timestamp=timestamps,
    bytes_wanted=st.sampled_from([1, 30, 500, MANY]),
    items_wanted=st.sampled_from([1, 2, 5, MANY]),
)
def test_reads_answer_like_the_model(
    shared_connection: Connection,
    shared_map: Map,
    model: Versions,
    bounds: list[tuple[bytes, bytes]],
    timestamp: int,
    bytes_wanted: int,
    items_wanted: int,
) -> None:
    shared_map.replace(model)
    query = "SELECT array_agg(units.read(key, %s)), array_agg(units.exists(key, %s)) FROM unnest(%b::bytea[]) AS key"
    row = shared_connection.execute(query, [timestamp, timestamp, KEYS], binary=True).fetchone()
    expected = [model.read(key, timestamp) for key in KEYS]
    assert row == (expected, [value is not None for value in expected])

    query = "SELECT units.prefetch(%b::bytea[], %s, %s)"
    row = shared_connection.execute(query, [KEYS, timestamp, bytes_wanted], binary=True).fetchone()
    assert row is not None
    (prefetched,) = row
    assert isinstance(prefetched, list)
    assert prefetched == [value or b"" for value in expected][: len(prefetched)]
    assert prefetched
    assert len(prefetched) == len(KEYS) or bytes_wanted < MANY
    assert sum(map(len, prefetched[:-1])) <= bytes_wanted

    limits = {"bytes_wanted": bytes_wanted, "items_wanted": items_wanted}
    for lower, upper in bounds:
        for backward in (False, True):
            expected_items = model.read_range(lower, upper, backward, timestamp)
            batches = read_range(shared_connection, (lower, upper), backward, timestamp, **limits)
            assert flatten(batches) == expected_items
            assert all(0 < len(batch) <= items_wanted for batch in batches[:-1])
            # A batch stops with the item that reaches the limit; what aligns values counts, too.
            assert all(sum(len(key) + len(value) for key, value in batch[:-1]) <= bytes_wanted for batch in batches)
            keys_only = read_range(shared_connection, (lower, upper), backward, timestamp, keys_only=True, **limits)
            assert flatten(keys_only) == [(key, b"") for key, _ in expected_items]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("invisible", [{1: b"old", 2: b""}, {3: b"new", 4: b"newer"}], ids=["deleted", "too new"])
def test_a_range_of_nothing_visible_is_read_in_bounded_steps(
    connection: Connection, folder: Path, backward: bool, invisible: dict[int, bytes]
) -> None:
    """40,000 keys without a row between two rows: batches without items, each with a resume key further on."""
    model = Versions({row_key(number): invisible for number in range(40_000)})
    model.stored[row_key(0)] = {1: b"first"}
    model.stored[row_key(40_000)] = {1: b"last"}
    map_ = Map(folder)
    map_.write(model)
    configure(connection, map_)
    batches = read_range(connection, (b"\x10", b"\x11"), backward, 2)
    assert flatten(batches) == model.read_range(b"\x10", b"\x11", backward, 2)
    assert len(batches) >= 80_000 // 16_384
    assert [] in batches[1:-1]


def row_key(number: int, table: int = 1) -> bytes:
    return struct.pack(">BIIBQ", 0x10, table, 77, 2, number)


@pytest.mark.parametrize("backward", [False, True])
def test_a_key_with_many_versions_costs_no_walk(connection: Connection, folder: Path, backward: bool) -> None:
    """A hundred keys with 2,000 versions each fit into one bounded step, whichever version is wanted."""
    model = Versions({row_key(number): {one: b"%d" % one for one in range(2_000)} for number in range(100)})
    map_ = Map(folder)
    map_.write(model)
    configure(connection, map_)
    for timestamp in (0, 1, 999, 1_998, 1_999, 5_000):
        batches = read_range(connection, (b"\x10", b"\x11"), backward, timestamp)
        assert flatten(batches) == model.read_range(b"\x10", b"\x11", backward, timestamp)
        assert len(batches) == 1


@pytest.mark.parametrize("backward", [False, True])
def test_values_of_all_sizes(connection: Connection, folder: Path, backward: bool) -> None:
    """From one byte to megabytes, which take pages of their own in the map and grow the batch."""
    choice = random.Random(3)
    model = Versions({row_key(number): {5: choice.randbytes(1 << (number % 23))} for number in range(60)})
    map_ = Map(folder)
    map_.write(model)
    configure(connection, map_)
    bounds = row_key(3), row_key(50)
    for bytes_wanted in (1, 70_000, 1 << 24):
        batches = read_range(connection, bounds, backward, 5, bytes_wanted=bytes_wanted)
        assert flatten(batches) == model.read_range(*bounds, backward, 5)
    for key in model.stored:
        row = connection.execute("SELECT units.read(%b, 5)", [key], binary=True).fetchone()
        assert row == (model.read(key, 5),)


def test_longest_keys(connection: Connection, folder: Path) -> None:
    longest = [b"\x10" + bytes([last]) * 1961 for last in (0, 1, 255)]
    model = Versions({key: {1: b"one", 2: b"two"} for key in longest})
    map_ = Map(folder)
    map_.write(model)
    configure(connection, map_)
    for backward in (False, True):
        batches = read_range(connection, (longest[0], longest[2] + b"\x00"), backward, 1, items_wanted=1)
        assert flatten(batches) == model.read_range(b"", b"", backward, 1)
    with pytest.raises(psycopg.errors.InternalError_, match="bound of 1964 bytes"):
        read_range(connection, (longest[2] + b"\x00\x00", b""), False, 1)


def test_statistics_are_the_newest_version(connection: Connection, folder: Path) -> None:
    model = Versions({b"\x40" + struct.pack(">I", 7): {1: struct.pack("<qq", 5, 50), 9: struct.pack("<qq", 8, 80)}})
    model.stored[b"\x40" + struct.pack(">I", 8)] = {1: struct.pack("<qq", 3, 4), 2: b""}
    model.stored[b"\x40" + struct.pack(">I", 9)] = {1: b"short"}
    map_ = Map(folder)
    map_.write(model)
    configure(connection, map_)
    query = "SELECT units.statistics(6), units.statistics(7), units.statistics(8), units.statistics(10)"
    assert connection.execute(query).fetchone() == ([0, 0], [8, 80], [0, 0], [0, 0])
    with pytest.raises(psycopg.errors.DataCorrupted):
        connection.execute("SELECT units.statistics(9)")


def test_every_call_sees_what_was_written_before_it(connection: Connection, folder: Path) -> None:
    """Between calls no read transaction stays open: the writer reuses pages and the file does not grow."""
    map_ = Map(folder)
    configure(connection, map_)
    for round_ in range(300):
        map_.write(Versions({row_key(1): {1: b"%d" % round_ + b"x" * 100_000}}))
        row = connection.execute("SELECT units.read(%b, 1)", [row_key(1)], binary=True).fetchone()
        assert row is not None
        assert bytes(row[0]).startswith(b"%dx" % round_)  # type: ignore[call-overload]
    assert (map_.folder / "data.mdb").stat().st_size < 10 * 100_000


def test_an_error_leaves_no_read_transaction(connection: Connection, folder: Path) -> None:
    map_ = Map(folder)
    with map_.environment.begin(write=True) as transaction:
        transaction.put(b"\x10short", b"value", db=map_.versions)
    configure(connection, map_)
    for _ in range(3):
        with pytest.raises(psycopg.errors.DataCorrupted):
            read_range(connection, (b"\x10", b"\x11"), False, 1)
        with pytest.raises(psycopg.errors.DataCorrupted):
            read_range(connection, (b"\x10", b"\x11"), True, 1)
        with pytest.raises(psycopg.errors.DataCorrupted):
            connection.execute("SELECT units.read(%b, 1)", [b"\x10\x01"])
    with pytest.raises(psycopg.errors.InternalError_, match="BAD_VALSIZE"):
        connection.execute("SELECT units.read('', 1)")
    assert open_snapshots(map_) == 0


def open_snapshots(map_: Map) -> int:
    """Readers that hold a snapshot; a free or parked slot shows "-" instead of a number."""
    return sum(line.split()[2] != "-" for line in str(map_.environment.readers()).splitlines()[1:])


def test_a_reader_below_the_horizon_gets_no_result(connection: Connection, folder: Path) -> None:
    map_ = Map(folder)
    map_.write(Versions({row_key(1): {1: b"value"}}))
    configure(connection, map_, is_below_horizon=True)
    for query in ("units.read(%b, 1)", "units.exists(%b, 1)", "units.read_range(%b, '', false, false, 1, 10, 10)"):
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="below the horizon"):
            connection.execute(f"SELECT {query}", [row_key(1)])
    assert open_snapshots(map_) == 0


def test_slots_are_given_back_and_missing_ones_reported(server: Path, folder: Path) -> None:
    map_ = Map(folder)
    map_.write(Versions({row_key(1): {1: b"value"}}))
    query = "SELECT units.read(%b, 1)"
    connections = [connect(server) for _ in range(READERS_MAX + 1)]
    for one in connections:
        configure(one, map_)
    for one in connections[:READERS_MAX]:
        one.execute(query, [row_key(1)])
    with pytest.raises(psycopg.errors.TooManyConnections, match="reader slots"):
        connections[READERS_MAX].execute(query, [row_key(1)])

    # The session that failed works as soon as there is a slot.
    pid = connections[0].info.backend_pid
    connections[0].close()
    observer = connections[READERS_MAX]
    while observer.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
        pass
    assert observer.execute(query, [row_key(1)], binary=True).fetchone() == (b"value",)
    for one in connections[1:]:
        one.close()


def test_slots_of_dead_readers_are_cleared(connection: Connection, folder: Path) -> None:
    map_ = Map(folder)
    map_.write(Versions({row_key(1): {1: b"value"}}))
    configure(connection, map_)
    program = f"""if True:
        import lmdb, os
        environment = lmdb.open({str(map_.folder)!r}, map_size={MAP_SIZE}, max_readers={READERS_MAX}, readonly=True)
        transactions = [environment.begin() for _ in range({READERS_MAX})]
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", program], check=True)
    assert map_.readers() == READERS_MAX
    query = "SELECT units.read(%b, 1)"
    assert connection.execute(query, [row_key(1)], binary=True).fetchone() == (b"value",)


def test_a_map_that_is_not_there_yet(connection: Connection, folder: Path) -> None:
    late = folder / "late"
    connection.execute("SELECT units.configure(%s, %s, %s, false, 0)", [str(late), MAP_SIZE, READERS_MAX])
    for _ in range(3):
        with pytest.raises(psycopg.errors.CannotConnectNow):
            connection.execute("SELECT units.read('x', 1)")
    map_ = Map(folder, "late")
    with map_.environment.begin(write=True) as transaction:
        transaction.drop(map_.versions)
    with pytest.raises(psycopg.errors.CannotConnectNow):
        connection.execute("SELECT units.read('x', 1)")
    map_.versions = map_.environment.open_db(b"versions")
    map_.write(Versions({b"x": {1: b"value"}}))
    assert connection.execute("SELECT units.read('x', 1)", binary=True).fetchone() == (b"value",)


def test_a_map_that_outgrew_the_size_it_was_opened_with(connection: Connection, folder: Path) -> None:
    map_ = Map(folder, size=1 << 20)
    map_.write(Versions({row_key(1): {1: b"value"}}))
    configure(connection, map_)
    query = "SELECT units.read(%b, 1)"
    assert connection.execute(query, [row_key(1)], binary=True).fetchone() == (b"value",)
    map_.size = 1 << 26
    map_.environment.set_mapsize(map_.size)
    map_.write(Versions({row_key(number): {1: b"x" * 2000} for number in range(1, 5000)}))
    configure(connection, map_)
    assert connection.execute(query, [row_key(4999)], binary=True).fetchone() == (b"x" * 2000,)


def test_a_slot_that_was_taken_away_is_replaced(connection: Connection, folder: Path) -> None:
    """Whatever closes the lock file in the backend loses LMDB's proof that it lives; then its slot is cleared."""
    map_ = Map(folder)
    map_.write(Versions({row_key(1): {1: b"value"}}))
    configure(connection, map_)
    query = "SELECT units.read(%b, 1)"
    connection.execute(query, [row_key(1)])
    assert map_.environment.reader_check() == 0
    connection.execute("SELECT length(pg_read_binary_file(%s))", [str(map_.folder / "lock.mdb")])
    assert map_.environment.reader_check() == 1
    assert connection.execute(query, [row_key(1)], binary=True).fetchone() == (b"value",)
    assert map_.environment.reader_check() == 0
    assert open_snapshots(map_) == 0


def test_another_map_in_the_same_place_is_noticed(connection: Connection, folder: Path) -> None:
    map_ = Map(folder, "replaced")
    map_.write(Versions({row_key(1): {1: b"old"}}))
    configure(connection, map_)
    query = "SELECT units.read(%b, 1)"
    assert connection.execute(query, [row_key(1)], binary=True).fetchone() == (b"old",)
    map_.environment.close()
    shutil.rmtree(map_.folder)
    map_ = Map(folder, "replaced")
    map_.write(Versions({row_key(1): {1: b"new"}}))
    connection.execute("SELECT units.replace_map()")
    for _ in range(2):
        assert connection.execute(query, [row_key(1)], binary=True).fetchone() == (b"new",)
    assert open_snapshots(map_) == 0


DOUBTFUL_READS = {
    "a key": "SELECT units.read(%(key)b, 1) = 'value 2'",
    "whether there is one": "SELECT units.exists(%(key)b, 1)",
    "a range": "SELECT cardinality(keys) = 5 FROM units.read_range('', '', false, false, 1, 1000000, 1000000)",
    "a range backwards": "SELECT cardinality(keys) = 5 FROM units.read_range('', '', true, false, 1, 1000000, 1000000)",
    "several keys": "SELECT units.prefetch(ARRAY[%(key)b, %(key)b], 1, 1000000) = ARRAY['value 2'::bytea, 'value 2']",
}


@pytest.mark.parametrize("query", DOUBTFUL_READS.values(), ids=DOUBTFUL_READS)
def test_damage_is_believed_when_it_comes_again(connection: Connection, folder: Path, query: str) -> None:
    """A read transaction that began on a torn root is in order, but looks damaged."""
    map_ = Map(folder)
    map_.write(Versions({row_key(number): {1: b"value %d" % number} for number in range(5)}))
    configure(connection, map_)
    arguments = {"key": row_key(2)}
    assert connection.execute(query, arguments).fetchone() == (True,)  # type: ignore[call-overload]
    for _ in range(3):
        connection.execute("SELECT units.fail_reads(1)")
        assert connection.execute(query, arguments).fetchone() == (True,)  # type: ignore[call-overload]
        connection.execute("SELECT units.fail_reads(2)")
        with pytest.raises(psycopg.errors.DataCorrupted):
            connection.execute(query, arguments)  # type: ignore[call-overload]
    assert open_snapshots(map_) == 0


def boundary(connection: Connection, lower: bytes, upper: bytes, pages: int) -> bytes | None:
    row = connection.execute("SELECT units.boundary(%b, %b, %s)", [lower, upper, pages], binary=True).fetchone()
    assert row is not None
    return None if row[0] is None else bytes(row[0])  # type: ignore[call-overload]


def test_pages_are_passed_over_as_if_one_by_one(connection: Connection, folder: Path) -> None:
    """Long keys make a high tree: few of them have room in a page, also in those above the leaves."""
    map_ = Map(folder)
    keys = [
        b"\x10\0\0\0" + bytes([table]) + struct.pack(">H", number) * 400
        for table in (1, 2, 3)
        for number in range(2000)
    ]
    map_.write(Versions({key: {1: b"value"} for key in keys}))
    configure(connection, map_)
    lower, upper = b"\x10\0\0\0\x02", b"\x10\0\0\0\x03"
    steps = [lower]
    while (following := boundary(connection, steps[-1], upper, 1)) is not None:
        steps.append(following)
    assert steps == sorted(set(steps))
    assert len(steps) > 500
    row = connection.execute("SELECT units.count_pages(%b, %b)", [lower, upper]).fetchone()
    assert row is not None
    assert abs(int(row[0]) + 1 - len(steps)) <= 1  # type: ignore[call-overload]
    chance = random.Random(1)
    for _ in range(300):
        first = chance.randrange(len(steps))
        pages = chance.randrange(1, len(steps))
        expected = steps[first + pages] if first + pages < len(steps) else None
        assert boundary(connection, steps[first], upper, pages) == expected
    row = connection.execute("SELECT units.count_pages('', '\\xff')").fetchone()
    assert row is not None
    assert int(row[0]) + 1 == map_.leaf_pages()  # type: ignore[call-overload]

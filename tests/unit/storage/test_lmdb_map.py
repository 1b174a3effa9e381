"""The map's file: no larger than it must be, whole when it is full, refused when it is damaged."""

from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.storage.lmdb_map import DamagedMap, LmdbMap
from borealis.storage.ordered_map import OutOfRoom, Table
from borealis.storage.settings import MEBIBYTE, StorageSettings
from borealis.storage.stored_key import key_of, stored_key
from tests.examples import examples
from tests.unit.storage.maps import contents, open_lmdb

KEY_BYTES = 1_962


def put(environment: LmdbMap, entries: list[tuple[bytes, bytes]]) -> None:
    with environment.write() as writer:
        writer.put(Table.VERSIONS, sorted(entries))


def test_the_file_is_no_larger_than_its_contents(tmp_path: Path) -> None:
    """The map may become a tebibyte; whoever copies the file must not have to copy one."""
    environment = LmdbMap(tmp_path, StorageSettings())
    put(environment, [(stored_key(b"key", 1), b"value")])
    assert (tmp_path / "data.mdb").stat().st_size < MEBIBYTE
    environment.close(is_clean=True)


def test_a_full_map_takes_nothing_and_stays_whole(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path, StorageSettings(map_bytes_max=MEBIBYTE))
    put(environment, [(stored_key(b"small", 1), b"value")])
    with pytest.raises(OutOfRoom):
        put(environment, [(stored_key(b"large", 1), bytes(2 * MEBIBYTE))])
    with environment.read() as reader:
        assert [value for _, value in reader.scan(Table.VERSIONS, b"")] == [b"value"]
    put(environment, [(stored_key(b"small", 2), b"more")])
    environment.close(is_clean=False)


@pytest.mark.parametrize("contents", [b"x" * 10_000, b"\0" * 10_000, b"short"])
def test_nonsense_is_refused_with_advice(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(contents)
    with pytest.raises(DamagedMap, match="move"):
        LmdbMap(tmp_path, StorageSettings())


def test_the_other_format_is_refused_with_advice(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path), lib_version=0).close()
    with pytest.raises(DamagedMap, match="move"):
        LmdbMap(tmp_path, StorageSettings())


def test_the_longest_key_that_the_formats_allow(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path, StorageSettings())
    key = b"\xff" * KEY_BYTES
    put(environment, [(stored_key(key, 1), b"value")])
    with environment.read() as reader:
        assert reader.get(Table.VERSIONS, stored_key(key, 1)) == b"value"
    environment.close(is_clean=False)


def leaves(directory: Path) -> int:
    with lmdb.open(str(directory), readonly=True, max_dbs=8, map_size=1 << 40) as environment:
        versions = environment.open_db(b"versions", create=False)
        with environment.begin() as transaction:
            return int(transaction.stat(versions)["leaf_pages"])


@pytest.mark.parametrize("behind", [0, 1, 2, 40])
@pytest.mark.parametrize("is_over", [False, True], ids=["put", "put over"])
def test_a_load_fills_its_leaves(tmp_path: Path, behind: int, is_over: bool) -> None:
    """However many large entries follow; LMDB alone would leave half and more of each leaf empty before them."""
    environment = LmdbMap(tmp_path, StorageSettings())
    others = [(stored_key(b"\x30%c" % number, 1), bytes(1_200 + 4_000 * (number % 2))) for number in range(behind)]
    rows = [(stored_key(b"\x10" + number.to_bytes(8, "big"), 5), bytes(100)) for number in range(3_000)]
    put(environment, [*others, (stored_key(b"\x10", 1), b"before")])
    for start in range(0, len(rows), 1_000):
        with environment.write() as writer:
            if is_over:
                assert writer.put_versions_over(rows[start : start + 1_000]) == []
            else:
                writer.put(Table.VERSIONS, rows[start : start + 1_000])
    with environment.read() as reader:
        expected = sorted([*others, (stored_key(b"\x10", 1), b"before"), *rows])
        assert list(reader.scan(Table.VERSIONS, b"")) == expected
    environment.close(is_clean=True)
    assert leaves(tmp_path) <= len(rows) / 28 + 2 * behind + 2


runs = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 90), st.integers(1, 9), st.sampled_from([5, 700, 3_000])), max_size=6
)


@settings(max_examples=examples(60), deadline=None)
@given(runs)
def test_runs_of_keys_leave_what_is_around_them(drawn: list[tuple[int, int, int, int]]) -> None:
    """Runs of versions over and between others: which of them are over older ones, and what is there."""
    expected: dict[bytes, bytes] = {}
    with open_lmdb() as environment:
        for first, count, timestamp, size in drawn:
            written = {
                stored_key(b"\x10" + number.to_bytes(2, "big"), timestamp): bytes([timestamp]) * size
                for number in range(first, first + count)
            }
            with environment.write() as writer:
                over = writer.put_versions_over(sorted(written.items()))
            expected |= written
            assert over == [stored for stored in sorted(written) if has_older(expected, stored)]
        assert contents(environment)[Table.VERSIONS] == expected


def has_older(entries: dict[bytes, bytes], stored: bytes) -> bool:
    return any(key_of(other) == key_of(stored) and other > stored for other in entries)

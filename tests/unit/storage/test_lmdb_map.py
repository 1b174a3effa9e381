"""The map's file: no larger than it must be, whole when it is full, refused when it is damaged."""

from pathlib import Path

import lmdb
import pytest

from borealis.storage.lmdb_map import DamagedMap, LmdbMap
from borealis.storage.ordered_map import OutOfRoom, Table
from borealis.storage.settings import MEBIBYTE, StorageSettings
from borealis.storage.stored_key import stored_key

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

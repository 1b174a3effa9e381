"""Maps of both kinds for tests, and what is in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.ordered_map import MemoryMap, OrderedMap, Table
from borealis.storage.settings import MEBIBYTE, StorageSettings

KINDS = ["memory", "lmdb"]
SMALL = StorageSettings(map_bytes_max=64 * MEBIBYTE)
Tables = dict[Table, dict[bytes, bytes]]


@contextmanager
def open_map(kind: str, versions: dict[bytes, bytes] | None = None) -> Iterator[OrderedMap]:
    """A map with these versions."""
    if kind == "memory":
        yield MemoryMap({Table.VERSIONS: versions or {}})
        return
    with open_lmdb() as ordered_map:
        with ordered_map.write() as writer:
            writer.put(Table.VERSIONS, sorted((versions or {}).items()))
        yield ordered_map


@contextmanager
def open_lmdb(settings: StorageSettings = SMALL) -> Iterator[LmdbMap]:
    with TemporaryDirectory() as directory:
        ordered_map = LmdbMap(Path(directory), settings)
        try:
            yield ordered_map
        finally:
            ordered_map.close(is_clean=False)


def contents(ordered_map: OrderedMap) -> Tables:
    with ordered_map.read() as reader:
        return {table: dict(reader.scan(table, b"")) for table in Table}

"""What a reader sees in the map: the contents at a timestamp, by the rules of docs/formats.md and nothing else."""

import struct
from contextlib import suppress
from pathlib import Path

import lmdb

U64_MAX = 2**64 - 1
# What LMDB may say of a sound map to a reader that was not scheduled while two commits happened.
NOT_BELIEVED_AT_ONCE = (lmdb.CorruptedError, lmdb.BadTxnError, lmdb.PageNotFoundError)


class MapView:
    """The map opened as a query processor would, read-only."""

    def __init__(self, data: Path) -> None:
        self._environment = lmdb.open(
            str(data / "storage" / "map"), readonly=True, max_dbs=8, map_size=1 << 40, max_readers=1024
        )
        self._versions = self._environment.open_db(b"versions", create=False)
        self._meta = self._environment.open_db(b"meta", create=False)

    def versions(self) -> list[tuple[bytes, int, bytes]]:
        """(key, commit timestamp, value), newest first for each key."""
        for _ in range(5):
            with suppress(*NOT_BELIEVED_AT_ONCE):
                return self._scan()
        raise AssertionError("the map is damaged")

    def _scan(self) -> list[tuple[bytes, int, bytes]]:
        with self._environment.begin(db=self._versions) as transaction:
            return [
                (stored[:-8], U64_MAX - int.from_bytes(stored[-8:], "big"), value)
                for stored, value in transaction.cursor()
            ]

    def at(self, timestamp: int, namespaces: bytes = b"\x10\x20") -> dict[bytes, bytes]:
        """Rows and index entries at a timestamp."""
        found: dict[bytes, bytes] = {}
        for key, committed, value in self.versions():
            if key[0] in namespaces and committed <= timestamp and key not in found:
                found[key] = value
        return {key: value for key, value in found.items() if value}

    def meta(self) -> dict[str, int]:
        with self._environment.begin(db=self._meta) as transaction:
            entries = list(transaction.cursor())
        return {key.decode(): int.from_bytes(value, "little") for key, value in entries if not key.startswith(b"size")}

    def sizes(self) -> dict[int, tuple[int, int]]:
        """(rows, bytes) of each relation: the exact sums."""
        with self._environment.begin(db=self._meta) as transaction:
            entries = list(transaction.cursor())
        return {
            int.from_bytes(key[4:], "big"): struct.unpack("<qq", value)
            for key, value in entries
            if key.startswith(b"size")
        }

    def close(self) -> None:
        self._environment.close()

    def __enter__(self) -> "MapView":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

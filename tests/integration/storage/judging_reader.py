"""A query processor that judges: `python judging_reader.py DATA RUN SLOT` reads snapshots of the bank until stdin ends.

Takes its timestamp, keeps its slot and checks the horizon as docs/formats.md asks of a backend; reads the accounts in
several LMDB transactions at the same timestamp; says on stdout how many snapshots it has read, or what was wrong.
"""

import mmap
import os
import select
import struct
import sys
from pathlib import Path

import lmdb

ACCOUNTS = 200
TOTAL = ACCOUNTS * 1_000
U64_MAX = 2**64 - 1
ACCOUNTS_PREFIX = b"\x10\0\0\0\x07"
# What LMDB may say of a sound map to a reader that was not scheduled while two commits happened.
NOT_BELIEVED_AT_ONCE = (lmdb.CorruptedError, lmdb.BadTxnError, lmdb.PageNotFoundError)


class HorizonPassedError(Exception):
    """Storage has collected what this reader needs."""


class Reader:
    def __init__(self, data: Path, run: Path, slot: int) -> None:
        self._environment = lmdb.open(
            str(data / "storage" / "map"), readonly=True, max_dbs=8, map_size=1 << 40, max_readers=1024
        )
        self._versions = self._environment.open_db(b"versions", create=False)
        with (run / "storage.page").open("rb") as file:
            self._page = memoryview(mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)).cast("Q")
        with (run / "instance-0.readers").open("r+b") as file:
            self._slots = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self._slot = 8 + 2 * slot
        self._slots[self._slot + 1] = os.getpid()
        self.repeated = 0

    def judge_snapshot(self) -> None:
        timestamp = self._register()
        try:
            first = self._read(timestamp)
            if first:
                assert len(first) == ACCOUNTS, f"{len(first)} accounts at {timestamp}"
                assert sum(first.values()) == TOTAL, f"{sum(first.values())} in all at {timestamp}"
            for _ in range(3):
                assert self._read(timestamp) == first, f"the snapshot at {timestamp} has changed"
        finally:
            self._slots[self._slot] = 0

    def _register(self) -> int:
        while True:
            timestamp = self._page[1]
            self._slots[self._slot] = timestamp
            if self._page[2] <= timestamp:
                return timestamp

    def _read(self, timestamp: int) -> dict[bytes, int]:
        for _ in range(5):
            try:
                found = self._scan(timestamp)
                break
            except NOT_BELIEVED_AT_ONCE:
                self.repeated += 1
        else:
            raise AssertionError("the map is damaged")
        if self._page[2] > timestamp:
            raise HorizonPassedError
        return found

    def _scan(self, timestamp: int) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        with self._environment.begin(db=self._versions) as transaction, transaction.cursor() as cursor:
            if cursor.set_range(ACCOUNTS_PREFIX):
                for stored, value in cursor.iternext():
                    key = stored[:-8]
                    if not key.startswith(ACCOUNTS_PREFIX):
                        break
                    if key not in found and U64_MAX - int.from_bytes(stored[-8:], "big") <= timestamp:
                        found[key] = struct.unpack_from("<q", value)[0]
        return found


def main() -> None:
    reader = Reader(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    print("reading", flush=True)
    snapshots = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        reader.judge_snapshot()
        snapshots += 1
    print(f"{snapshots} snapshots, {reader.repeated} reads repeated", flush=True)


if __name__ == "__main__":
    main()

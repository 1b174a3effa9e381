"""Times the write set and the storage reader by themselves: make -C postgres_extension/tests bench

The map holds rows of 100 bytes; some have further versions, newer and older than the one that is read.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

import lmdb

from borealis.host.account import NOBODY
from tests.cluster import Connection
from tests.integration.c_units import units_server
from tests.integration.plain_server import connect, unprivileged_folder

ROWS = 1_000_000
MAP_SIZE = 1 << 40
NOW = 1_800_000_000_000_000_000


def write_map(folder: Path, versions: range) -> None:
    with lmdb.open(
        str(folder), map_size=MAP_SIZE, max_dbs=2, max_readers=126, lib_version=1, sync=False
    ) as environment:
        database = environment.open_db(b"versions")
        with environment.begin(write=True) as transaction:
            for number in range(ROWS):
                key = struct.pack(">BIIBQ", 0x10, 1, 77, 2, number)
                for version in versions:
                    stored = key + struct.pack(">Q", (1 << 64) - 1 - (NOW - version))
                    transaction.put(stored, b"v" * 100, db=database, append=True)
    if os.geteuid() == 0:
        for path in [folder, *folder.iterdir()]:
            os.chown(path, NOBODY, NOBODY)


def report(connection: Connection, name: str, count: int, query: str) -> None:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        row = connection.execute(query).fetchone()
        best = min(best, time.perf_counter() - start)
        assert row == (count,), row
    print(f"{name:48} {best / count * 1e9:8.0f} ns {count / best / 1e6:8.2f} M/s")


def measure_reader(server: Path, versions: range, title: str) -> None:
    with unprivileged_folder("borealis-benchmark-") as folder:
        write_map(folder, versions)
        with connect(server) as connection:
            connection.execute("SELECT units.configure(%s, %s, 126, false, 0)", [str(folder), MAP_SIZE])
            print(f"\n{title}")
            for batch in (8192, 65536, 1 << 20):
                for backward in (False, True):
                    name = f"scan {'backward' if backward else 'forward'}, batches of {batch} bytes"
                    report(
                        connection,
                        name,
                        ROWS,
                        f"SELECT units.scan('\\x10', '\\x11', {backward}, {NOW}, {batch}, 1000000)",
                    )
            report(connection, "point reads at random", ROWS, f"SELECT units.read_often({ROWS}, 0, {NOW}, {ROWS})")
            report(connection, "point reads in key order", ROWS, f"SELECT units.read_often({ROWS}, 1, {NOW}, {ROWS})")
            report(connection, "point reads of 100 rows", ROWS, f"SELECT units.read_often(100, 1, {NOW}, {ROWS})")


def main() -> None:
    with units_server(Path(sys.argv[1])) as server:
        with connect(server) as connection:
            for count in (1_000_000, 1_000):
                print(f"write set, {count} of each")
                row = connection.execute("SELECT units.write_set_benchmark(%s)", [count]).fetchone()
                assert row is not None
                print(row[0])
        measure_reader(server, range(1), "reader, one version of each row")
        measure_reader(server, range(-1, 2), "reader, three versions of each row, the middle one wanted")


if __name__ == "__main__":
    main()

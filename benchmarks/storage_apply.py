"""How much CPU applying costs, without sockets: `python -m benchmarks.storage_apply [--rows N] [--directory DIR]`.

A million rows, then transactions of four updates of random rows (100 bytes each), applied one by one and in plans of
many, as the storage process does when it is idle and when it is busy, with a horizon that follows; then the collection
of what they wrote over and no write to the same leaf took along.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from borealis.foundation.identifiers import CatalogVersion, Epoch, Position, Timestamp, TransactionId
from borealis.storage.follower import Follower
from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.settings import StorageSettings
from borealis.wire.frames import encode_frame
from borealis.wire.journal_batch import JournalRecord, RecordKind, encode_batch
from borealis.wire.journal_messages import JournalFrame
from borealis.wire.transaction_record import Operation, RelationDelta, encode_transaction

WRITES = 4
HORIZON_LAG = 2_000
"""So many transactions readers may be behind."""
VALUE = b"v" * 100
ROW_PREFIX = b"\x10" + (16_384).to_bytes(4, "big") + (16_390).to_bytes(4, "big") + b"\x02"


def row_key(number: int) -> bytes:
    return ROW_PREFIX + number.to_bytes(8, "big")


class Load:
    """Journal batches of random updates, made before they are timed."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._random = Random(1)
        self._position = 0
        self._timestamp = 1_000

    def initial_rows(self) -> Iterator[bytes]:
        step = 10_000
        for start in range(0, self._rows, step):
            writes = [(int(Operation.INSERT), row_key(number), VALUE) for number in range(start, start + step)]
            yield self._batch([self._transaction(writes, [])])

    def updates(self, batches: int, transactions: int, deltas: int) -> list[bytes]:
        return [self._batch([self._update(deltas) for _ in range(transactions)]) for _ in range(batches)]

    def _update(self, deltas: int) -> bytes:
        rows = self._random.sample(range(self._rows), WRITES)
        sizes = [RelationDelta(16_384 + number, 0, 1) for number in range(deltas)]
        return self._transaction([(int(Operation.UPDATE), row_key(row), VALUE) for row in rows], sizes)

    def _transaction(self, writes: list[tuple[int, bytes, bytes]], deltas: list[RelationDelta]) -> bytes:
        identifier = TransactionId(self._random.randbytes(16))
        return encode_transaction(identifier, Timestamp(1), writes=writes, deltas=deltas)

    def _batch(self, transactions: list[bytes]) -> bytes:
        records = []
        for transaction in transactions:
            self._timestamp += 1
            kind = RecordKind.TRANSACTION
            records.append(JournalRecord(kind, Timestamp(self._timestamp), CatalogVersion(0), transaction))
        batch = encode_batch(Position(self._position), Epoch(1), records)
        self._position += len(batch)
        return batch


def apply(follower: Follower, plans: list[list[bytes]]) -> None:
    for payloads in plans:
        follower.state.collect_up_to = max(follower.state.collect_up_to, follower.state.timestamp - HORIZON_LAG)
        event = follower.feed(b"".join(encode_frame(JournalFrame.BATCH, 0, payload) for payload in payloads))
        assert event is None, "a batch is not plain"


@contextmanager
def measured(what: str, count: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:<44} {count / wall:>9,.0f}/s {cpu / count * 1e6:>8.1f} us CPU each", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--transactions", type=int, default=20_000)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    options = parser.parse_args()
    settings = StorageSettings()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        environment = LmdbMap(Path(directory), settings)
        follower = Follower(environment, None, settings)
        load = Load(options.rows)
        with measured("load, rows", options.rows):
            for batch in load.initial_rows():
                apply(follower, [[batch]])
        count = options.transactions
        for deltas in (0, 1):
            lone = load.updates(count // 2, 1, deltas)
            with measured(f"alone, {deltas} relation deltas, transactions", len(lone)):
                apply(follower, [[batch] for batch in lone])
        for transactions in (8, 64, 1_024):
            batches = load.updates(count // transactions, transactions, 1)
            with measured(f"{transactions} to a batch, transactions", len(batches) * transactions):
                apply(follower, [[batch] for batch in batches])
        queued, horizon = len(follower.queue), follower.progress.timestamp
        with measured("collection, keys", queued):
            while follower.queue.is_ready(horizon):
                follower.queue.collect(environment, horizon, horizon, 1_000)
        follower.close()
        environment.close(is_clean=False)


if __name__ == "__main__":
    main()

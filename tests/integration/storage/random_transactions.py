"""LMDB against a dictionary: `python random_transactions.py DIR FIRST_SEED SEEDS`; in a process, as LMDB's bugs abort.

Keys and values of all sizes, deletes, aborts, and readers pinned to old states, whose pages must not be used again.
Each seed ends with a walk over every page of the file.
"""

import shutil
import struct
import sys
from contextlib import ExitStack
from pathlib import Path
from random import Random

from lmdb import verify

from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.ordered_map import MapReader, Table
from borealis.storage.settings import StorageSettings

TRANSACTIONS = 150
State = dict[bytes, bytes]


class Run:
    """One seed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._random = random = Random(seed)
        self._map = LmdbMap(directory, StorageSettings())
        self._directory = directory
        self._committed: State = {}
        self._pinned: list[tuple[ExitStack, MapReader, State]] = []
        key_bytes = random.choice((13, 20, 100, 600, 1962))
        self._keys = [random.randbytes(random.choice((key_bytes, 13))) for _ in range(random.choice((5, 100, 3_000)))]
        self._value_bytes_max = random.choice((10, 100, 2_100, 9_000, 60_000))

    def run(self) -> None:
        for number in range(TRANSACTIONS):
            self._pin_or_release()
            self._transact(number)
        while self._pinned:
            self._release(0)
        with self._map.read() as reader:
            assert dict(reader.scan(Table.VERSIONS, b"")) == self._committed
        self._map.close(is_clean=False)
        assert verify.verify(str(self._directory)) == []

    def _pin_or_release(self) -> None:
        if self._random.random() < 0.1:
            pin = ExitStack()
            self._pinned.append((pin, pin.enter_context(self._map.read()), dict(self._committed)))
        if self._pinned and self._random.random() < 0.1:
            self._release(self._random.randrange(len(self._pinned)))

    def _release(self, index: int) -> None:
        pin, reader, expected = self._pinned.pop(index)
        with pin:
            assert dict(reader.scan(Table.VERSIONS, b"")) == expected

    def _transact(self, number: int) -> None:
        random, state = self._random, dict(self._committed)
        what = random.random()
        try:
            with self._map.write() as writer:
                if what < 0.75:
                    suffix = struct.pack(">Q", 2**64 - 2 - number)
                    entries = {
                        random.choice(self._keys) + suffix: random.randbytes(random.randrange(self._value_bytes_max))
                        for _ in range(random.choice((1, 4, 40, 400)))
                    }
                    writer.put(Table.VERSIONS, sorted(entries.items()))
                    state.update(entries)
                if what > 0.5 and state:
                    count = min(len(state), random.choice((1, 10, 200, 100_000)))
                    deleted = random.sample(sorted(state), count)
                    writer.delete(Table.VERSIONS, deleted)
                    for key in deleted:
                        del state[key]
                writer.put(Table.META, [(b"position", b"%d" % number)])
                if random.random() < 0.1:
                    raise InterruptedError
        except InterruptedError:
            return
        self._committed = state


def main() -> None:
    directory, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for seed in range(first, first + count):
        print(f"seed {seed}", flush=True)
        Run(directory / str(seed), seed).run()
        shutil.rmtree(directory / str(seed))


if __name__ == "__main__":
    main()

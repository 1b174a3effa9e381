"""A query-processor instance as storage sees it: its readers file."""

import mmap
import os
import struct
from pathlib import Path

HEADER_BYTES = 64


class Instance:
    """Reader slots of one instance, written as backends would."""

    def __init__(self, run: Path, number: int = 0, slots: int = 4) -> None:
        self._path = run / f"instance-{number}.readers"
        self._path.write_bytes(struct.pack("<8sQ", b"BRLSRDR1", slots).ljust(HEADER_BYTES, b"\0") + bytes(16 * slots))
        with self._path.open("r+b") as file:
            self._mapping = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._mapping).cast("Q")

    def read_at(self, slot: int, timestamp: int, process_id: int | None = None) -> None:
        self._words[9 + 2 * slot] = os.getpid() if process_id is None else process_id
        self._words[8 + 2 * slot] = timestamp

    def finish(self, slot: int) -> None:
        self._words[8 + 2 * slot] = 0

"""Places: how many sessions the fronts of a cluster hold together (docs/formats.md, "Places").

A page that they all map has a count for each front. Promises: together they never hold more than the limit, and one is
refused only when there are that many; the places of a front that was killed are free at once, also before it runs
again. Assumes: one machine, and that a front's number is nobody else's. A place is taken under a lock of the page; the
lock that a front holds on its own count says that it lives.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NUMBER_MAX: Final = 127
COUNT_BYTES: Final = 4
PAGE_BYTES: Final = (1 + NUMBER_MAX) * COUNT_BYTES
_TURN_AT: Final = 0
"""The byte whose lock gives the turn to take a place; a front's own is the first of its count."""


class Places:
    """`number`: 1 to NUMBER_MAX."""

    def __init__(self, path: Path, number: int, limit: int) -> None:
        self._number = number
        self._limit = limit
        # Kept: closing any descriptor of the file would give up the locks of the process.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number * COUNT_BYTES)
        with self._turn():
            if os.fstat(self._file).st_size < PAGE_BYTES:
                os.pwrite(self._file, bytes(PAGE_BYTES), 0)  # written, so that a full disk shows here
            self._mapping = mmap.mmap(self._file, PAGE_BYTES)
            self._counts = memoryview(self._mapping).cast("I")
            self._counts[number] = 0

    def take(self) -> bool:
        """One more session; False if the cluster has as many as it may."""
        with self._turn():
            if sum(self._counts) >= self._limit:
                self._forget_the_dead()
                if sum(self._counts) >= self._limit:
                    return False
            self._counts[self._number] += 1
            return True

    def give_back(self) -> None:
        self._counts[self._number] -= 1

    @contextmanager
    def _turn(self) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _TURN_AT)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _TURN_AT)

    def _forget_the_dead(self) -> None:
        for number, count in enumerate(self._counts):
            if count and number != self._number:
                with suppress(BlockingIOError, PermissionError):  # it lives
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number * COUNT_BYTES)
                    self._counts[number] = 0
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number * COUNT_BYTES)

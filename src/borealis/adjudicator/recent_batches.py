"""The newest batches of the journal, kept in memory for those who follow it closely. Pure.

Bounded by bytes. A follower that has fallen behind what is kept reads the journal's files until it has caught up.
"""

from collections import deque
from typing import Final

from borealis.foundation.identifiers import Position
from borealis.wire.frames import Octets

RECENT_BYTES_MAX: Final = 8 * 2**20
GIANT_BATCH_BYTES: Final = 2**20


class RecentBatches:
    """`covers(position)` says whether everything from there on is here."""

    def __init__(self, start: Position) -> None:
        self._batches: deque[tuple[Position, Octets]] = deque()
        self._covered_from = start
        self._bytes = 0

    def covers(self, position: Position) -> bool:
        return position >= self._covered_from

    def add(self, position: Position, batch: Octets) -> None:
        """The next batch of the journal. A giant one is not kept: it is streamed from the file."""
        if len(batch) > GIANT_BATCH_BYTES:
            self._batches.clear()
            self._bytes = 0
            self._covered_from = Position(position + len(batch))
            return
        self._batches.append((position, batch))
        self._bytes += len(batch)
        while self._bytes > RECENT_BYTES_MAX:
            oldest, dropped = self._batches.popleft()
            self._covered_from = Position(oldest + len(dropped))
            self._bytes -= len(dropped)

    def forget(self, before: Position) -> None:
        """Let go of what lies before a position: nobody who follows closely needs it any more."""
        while self._batches and self._batches[0][0] < before:
            oldest, dropped = self._batches.popleft()
            self._covered_from = Position(oldest + len(dropped))
            self._bytes -= len(dropped)

    def since(self, position: Position) -> list[tuple[Position, Octets]]:
        """The batches at or after a covered position, in order."""
        found: list[tuple[Position, Octets]] = []
        for batch in reversed(self._batches):
            if batch[0] < position:
                break
            found.append(batch)
        found.reverse()
        return found

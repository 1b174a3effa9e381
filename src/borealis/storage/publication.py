"""What storage tells the rest of the host through `storage.page` (docs/formats.md, "Shared pages").

Promises: a watermark is published only after the transaction that reached it has been committed to the map, and whoever
waits for it is woken; the horizon never goes back.
"""

import ctypes
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from borealis.foundation.identifiers import Timestamp
from borealis.foundation.pages import STORAGE_MAGIC, SharedPage, StorageWord
from borealis.storage.apply import Progress
from borealis.storage.library import library

STATE_WORD: Final = 8
GENERATION_WORD: Final = 9
EVERY_BIT: Final = 0xFFFF_FFFF


class State(IntEnum):
    """What storage is doing."""

    STARTING = 1
    FOLLOWING = 2
    WAITING_FOR_JOURNAL = 3
    OUT_OF_ROOM = 4
    STOPPED = 5


class Publication:
    """The page, owned."""

    def __init__(self, path: Path) -> None:
        self._page = SharedPage.own(path, STORAGE_MAGIC)
        self._first = ctypes.c_char.from_buffer(self._page.address_space)

    @property
    def address(self) -> int:
        """Of the page's words, for who publishes from the library; until this is closed."""
        return ctypes.addressof(self._first)

    @property
    def horizon(self) -> Timestamp:
        return Timestamp(self._page.load(StorageWord.HORIZON))

    def open(self, progress: Progress, horizon: Timestamp, map_bytes: int, readers_max: int, generation: int) -> None:
        """Say which map is served, before its watermark."""
        page = self._page
        page.store(GENERATION_WORD, generation)
        page.store(StorageWord.MAP_BYTES, map_bytes)
        page.store(StorageWord.READERS_MAX, readers_max)
        self.publish_horizon(horizon)
        page.fence()
        self.publish_progress(progress)

    def withdraw_map(self) -> None:
        """Nobody may take the files for those of the map that was served, until `open`."""
        self._page.store(GENERATION_WORD, 0)
        self._page.fence()

    def publish_process(self, process_id: int) -> None:
        self._page.store(StorageWord.PROCESS_ID, process_id)

    def publish_progress(self, progress: Progress, wake_bits: int = EVERY_BIT) -> None:
        """`wake_bits`: those of the timestamps that have been reached since the last time (pages.wake_bit)."""
        library.storage_publish(self.address, progress.position, progress.timestamp, wake_bits)

    def publish_horizon(self, horizon: Timestamp) -> None:
        self._page.store(StorageWord.HORIZON, max(horizon, self.horizon))
        self._page.fence()

    def publish_state(self, state: State) -> None:
        self._page.store(STATE_WORD, state)

    def close(self) -> None:
        del self._first  # it holds on to the mapping
        self._page.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

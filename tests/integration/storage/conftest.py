"""A data directory, a journal and a storage process for each test."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

from tests.integration.storage.journal_peer import Journal, JournalPeer
from tests.integration.storage.storage_process import StorageProcess


class Start(Protocol):
    def __call__(self, *, wait: bool = True, **settings: int) -> StorageProcess: ...


@pytest.fixture
def run_directory() -> Iterator[Path]:
    """Short enough for the path of a socket, unlike tmp_path."""
    with TemporaryDirectory(prefix="borealis-") as name:
        yield Path(name)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def peer(run_directory: Path, journal: Journal) -> Iterator[JournalPeer]:
    peer = JournalPeer(run_directory / "journal.sock", journal)
    yield peer
    peer.close()


@pytest.fixture
def start(tmp_path: Path, run_directory: Path) -> Iterator[Start]:
    """Start a storage process on the test's data directory."""
    started: list[StorageProcess] = []

    def start_storage(*, wait: bool = True, **settings: int) -> StorageProcess:
        storage = StorageProcess(tmp_path, run_directory, **settings)
        started.append(storage)
        storage.start(wait)
        return storage

    yield start_storage
    for storage in started:
        storage.close()

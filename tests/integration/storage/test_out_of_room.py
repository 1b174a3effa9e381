"""Without room nothing is lost: storage holds on, says so, and goes on when there is room again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from borealis.foundation.pages import STORAGE_MAGIC, SharedPage
from borealis.storage.publication import STATE_WORD, State
from tests.integration.storage.conftest import Start
from tests.integration.storage.journal_peer import Journal, JournalPeer, row
from tests.integration.storage.map_view import MapView
from tests.integration.storage.storage_process import StorageProcess
from tests.integration.storage.waiting import wait_until

MILLISECOND_NS = 1_000_000
MEBIBYTE = 1 << 20


def state(storage: StorageProcess) -> int:
    with SharedPage.watch(storage.run / "storage.page", STORAGE_MAGIC) as page:
        return page.load(STATE_WORD)


def wait_state(storage: StorageProcess, expected: State) -> None:
    wait_until(lambda: state(storage) == expected, f"storage is {expected.name}: {storage.log()}")


def write_rows(journal: Journal, count: int, size: int = 20_000) -> None:
    for number in range(len(journal.batches), len(journal.batches) + count):
        journal.write((1, row(number), b"v" * size))


def test_a_map_at_its_limit(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    write_rows(journal, 10)
    storage = start(map_bytes_max=2 * MEBIBYTE, room_retry_interval_ns=5 * MILLISECOND_NS)
    peer.wait_applied(journal.timestamp)
    write_rows(journal, 200)
    peer.send_new_aside()
    wait_state(storage, State.OUT_OF_ROOM)
    assert "Commits are held" in storage.log()
    assert peer.applied.timestamp < journal.timestamp
    assert storage.stop() == 0
    larger = StorageProcess(tmp_path, storage.run)
    larger.start()
    try:
        peer.wait_applied(journal.timestamp)
        with MapView(tmp_path) as view:
            assert len(view.at(journal.timestamp)) == 210
    finally:
        larger.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room; only root can have one."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs the right to mount")
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_a_full_disk(small_disk: Path, run_directory: Path, peer: JournalPeer, journal: Journal) -> None:
    storage = StorageProcess(small_disk, run_directory, room_retry_interval_ns=5 * MILLISECOND_NS)
    storage.log_path = run_directory / "storage.log"
    try:
        storage.start()
        write_rows(journal, 20)
        peer.send_new()
        peer.wait_applied(journal.timestamp)
        fill_up(small_disk / "somebody else's")
        write_rows(journal, 200)
        peer.send_new_aside()
        wait_state(storage, State.OUT_OF_ROOM)
        followed = len(peer.followed)
        storage.kill()
        storage.start()
        peer.wait_followed(followed + 1)
        wait_state(storage, State.OUT_OF_ROOM)
        with MapView(small_disk) as view:
            assert len(view.at(storage.words()["APPLIED"])) >= 20
        (small_disk / "somebody else's").unlink()
        peer.wait_applied(journal.timestamp)
        wait_state(storage, State.FOLLOWING)
        with MapView(small_disk) as view:
            assert len(view.at(journal.timestamp)) == 220
        assert storage.stop() == 0
    finally:
        storage.close()

"""Old versions go, and only those that no reader needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from tests.integration.storage.conftest import Start
from tests.integration.storage.instance import Instance
from tests.integration.storage.journal_peer import Journal, JournalPeer, row
from tests.integration.storage.map_view import MapView
from tests.integration.storage.storage_process import StorageProcess
from tests.integration.storage.waiting import wait_until

MILLISECOND_NS = 1_000_000
QUICK = {
    "round_interval_ns": 2 * MILLISECOND_NS,
    "idle_round_interval_ns": 2 * MILLISECOND_NS,
    "horizon_lag_ns": 5 * MILLISECOND_NS,
    "collect_quiet_ns": 5 * MILLISECOND_NS,
}


@pytest.fixture
def transactions_page(run_directory: Path) -> Iterator[SharedPage]:
    with SharedPage.own(run_directory / "transactions.page", TRANSACTIONS_MAGIC) as page:
        yield page


def commit(journal: Journal, peer: JournalPeer, page: SharedPage, *writes: tuple[int, bytes, bytes]) -> int:
    """Write, wait until it is applied, acknowledge."""
    timestamp = journal.write(*writes)
    peer.send_new()
    peer.wait_applied(timestamp)
    page.store(TransactionsWord.ACKNOWLEDGED, timestamp)
    return timestamp


def stored(data: Path, key: bytes) -> list[int]:
    """Timestamps of the versions of a key."""
    with MapView(data) as view:
        return [timestamp for found, timestamp, _ in view.versions() if found == key]


def wait_horizon(storage: StorageProcess, timestamp: int) -> None:
    wait_until(lambda: storage.words()["HORIZON"] >= timestamp, f"horizon {timestamp}")


def test_a_pinned_reader_keeps_its_versions(
    start: Start,
    peer: JournalPeer,
    journal: Journal,
    transactions_page: SharedPage,
    run_directory: Path,
    tmp_path: Path,
) -> None:
    instance = Instance(run_directory)
    storage = start(**QUICK)
    first = commit(journal, peer, transactions_page, (1, row(1), b"1"), (1, row(2), b"2"))
    instance.read_at(2, first)
    for _ in range(3):
        last = commit(journal, peer, transactions_page, (2, row(1), b"n"))
    last = commit(journal, peer, transactions_page, (4, row(2), b""))
    wait_horizon(storage, first)
    other = commit(journal, peer, transactions_page, (1, row(3), b"3"))
    with MapView(tmp_path) as view:
        assert view.at(first) == {row(1): b"1", row(2): b"2"}
    assert storage.words()["HORIZON"] == first
    instance.finish(2)
    wait_horizon(storage, other)
    wait_until(lambda: stored(tmp_path, row(2)) == [], "the deleted row is gone")
    wait_until(lambda: len(stored(tmp_path, row(1))) == 1, "the old versions are gone")
    with MapView(tmp_path) as view:
        assert view.at(last) == {row(1): b"n"}


def test_a_dead_reader_holds_nothing_back(
    start: Start, peer: JournalPeer, journal: Journal, transactions_page: SharedPage, run_directory: Path
) -> None:
    instance = Instance(run_directory)
    first = journal.write((1, row(1), b"1"))
    storage = start(**QUICK)
    peer.wait_applied(first)
    instance.read_at(0, first, process_id=2**22 + 1)
    second = commit(journal, peer, transactions_page, (2, row(1), b"2"))
    wait_horizon(storage, second)


def test_a_reader_past_its_limit_holds_nothing_back(
    start: Start, peer: JournalPeer, journal: Journal, transactions_page: SharedPage, run_directory: Path
) -> None:
    instance = Instance(run_directory)
    first = journal.write((1, row(1), b"1"))
    storage = start(**QUICK, transaction_age_max_ns=20 * MILLISECOND_NS, transaction_age_grace_ns=5 * MILLISECOND_NS)
    peer.wait_applied(first)
    instance.read_at(0, first)
    second = commit(journal, peer, transactions_page, (2, row(1), b"2"))
    wait_horizon(storage, second)


def test_garbage_of_an_earlier_life_is_swept(
    start: Start, peer: JournalPeer, journal: Journal, transactions_page: SharedPage, tmp_path: Path
) -> None:
    for number in range(50):
        journal.write((1 if number == 0 else 2, row(1), b"%d" % number))
        journal.write((1, row(100 + number), b"x"))
    storage = start()
    peer.wait_applied(journal.timestamp)
    storage.kill()
    quick = StorageProcess(tmp_path, storage.run, **QUICK, sweep_entries=7)
    quick.start()
    try:
        transactions_page.store(TransactionsWord.ACKNOWLEDGED, journal.timestamp)
        wait_until(lambda: len(stored(tmp_path, row(1))) == 1, "the sweep has found the old versions")
        with MapView(tmp_path) as view:
            assert len(view.at(journal.timestamp)) == 51
            assert view.meta()["horizon"] == journal.timestamp
    finally:
        quick.close()


def test_a_dropped_relation_is_emptied_even_after_a_restart(
    start: Start, peer: JournalPeer, journal: Journal, transactions_page: SharedPage, tmp_path: Path
) -> None:
    writes = [(1, row(number, relation), b"x") for relation in (7, 8) for number in range(100)]
    journal.write(*writes, deltas=[(7, 100, 1), (8, 100, 1)])
    journal.write(catalog_entry=b"drop table seven", dropped=[7])
    storage = start()
    peer.wait_applied(journal.timestamp)
    storage.kill()
    quick = StorageProcess(tmp_path, storage.run, **QUICK, collect_keys_min=9, sweep_entries=2)
    quick.start()
    try:
        transactions_page.store(TransactionsWord.ACKNOWLEDGED, journal.timestamp)

        def relations() -> set[bytes]:
            with MapView(tmp_path) as view:
                return {key[:5] for key, _, _ in view.versions() if key[0] != 0x30}

        wait_until(lambda: relations() == {b"\x10\0\0\0\x08", b"\x40\0\0\0\x08"}, "only the other relation is left")
    finally:
        quick.close()


def test_the_horizon_survives_the_loss_of_the_page(
    start: Start, peer: JournalPeer, journal: Journal, transactions_page: SharedPage, run_directory: Path
) -> None:
    """A reader below it must be refused for ever: what it needs may be gone."""
    storage = start(**QUICK)
    commit(journal, peer, transactions_page, (1, row(1), b"1"))
    second = commit(journal, peer, transactions_page, (2, row(1), b"2"))
    wait_horizon(storage, second)
    wait_until(lambda: len(stored(storage.data, row(1))) == 1, "collected")
    storage.kill()
    (run_directory / "storage.page").unlink()
    storage.start()
    assert storage.words()["HORIZON"] == second

"""The map survives kill -9 of its writer and of its readers, with readers in other processes all the while.

The rounds are few here; docs/decisions/0001-lmdb-format.md has the figures of a long run, made with
`BOREALIS_KILL_ROUNDS=200 pytest tests/integration/storage/test_map_format.py`.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import lmdb
import pytest
from lmdb import verify

from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from tests.integration.storage import judging_reader, random_transactions
from tests.integration.storage.bank import ACCOUNTS, BALANCE, Bank, decode_balance
from tests.integration.storage.conftest import Start
from tests.integration.storage.instance import Instance
from tests.integration.storage.journal_peer import Journal, JournalPeer
from tests.integration.storage.map_view import MapView
from tests.integration.storage.storage_process import StorageProcess
from tests.integration.storage.waiting import wait_until

ROUNDS = int(os.environ.get("BOREALIS_KILL_ROUNDS", "4"))
MILLISECOND_NS = 1_000_000
# Collection takes part in everything: pages are freed and used again as fast as it can be.
BUSY = {
    "round_interval_ns": MILLISECOND_NS,
    "idle_round_interval_ns": MILLISECOND_NS,
    "horizon_lag_ns": 20 * MILLISECOND_NS,
    "collect_keys_min": 8,
    "collect_busy_overwrites": 4,
    "collect_delay_ns": 5 * MILLISECOND_NS,
    "collect_quiet_ns": 0,
    "reader_check_interval_ns": 10 * MILLISECOND_NS,
}


class JudgingReader:
    """The process of judging_reader.py."""

    def __init__(self, data: Path, run: Path, slot: int) -> None:
        command = [sys.executable, judging_reader.__file__, str(data), str(run), str(slot)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "reading\n"

    def verdict(self) -> str:
        return self.process.communicate("")[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def judging_readers(data: Path, run: Path, count: int) -> Iterator[list[JudgingReader]]:
    readers = [JudgingReader(data, run, slot) for slot in range(count)]
    try:
        yield readers
        for reader in readers:
            verdict = reader.verdict()
            assert reader.process.returncode == 0, verdict
            print(verdict, end="")
    finally:
        for reader in readers:
            if reader.process.returncode is None:
                reader.kill()


@pytest.fixture
def transactions_page(run_directory: Path) -> Iterator[SharedPage]:
    with SharedPage.own(run_directory / "transactions.page", TRANSACTIONS_MAGIC) as page:
        yield page


def test_random_transactions(tmp_path: Path) -> None:
    command = [sys.executable, random_transactions.__file__, str(tmp_path), "0", str(2 * ROUNDS)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, f"{shlex.join(command)} failed: {run.stdout} {run.stderr}"


def stream(bank: Bank, peer: JournalPeer, page: SharedPage, batches: int) -> None:
    """Some batches, acknowledged as they are applied."""
    bank.transact(batches)
    peer.send_new()
    page.store(TransactionsWord.ACKNOWLEDGED, peer.applied.timestamp)


def check_map(bank: Bank, journal: Journal, data: Path) -> None:
    with MapView(data) as view:
        found = view.at(journal.timestamp)
    assert found == bank.rows
    accounts = [value for key, value in found.items() if key.startswith(judging_reader.ACCOUNTS_PREFIX)]
    assert sum(map(decode_balance, accounts)) == ACCOUNTS * BALANCE


def check_structure(data: Path) -> None:
    """Every page of the file is reachable or free, none is both, and what lies on it is in order."""
    assert verify.verify(str(data / "storage" / "map")) == []


def test_kill_the_writer_at_random_points(
    start: Start,
    peer: JournalPeer,
    journal: Journal,
    transactions_page: SharedPage,
    run_directory: Path,
    tmp_path: Path,
) -> None:
    random = Random(7)
    bank = Bank(journal, seed=7)
    Instance(run_directory, slots=4)
    storage = start(**BUSY)
    peer.wait_applied(journal.timestamp)
    with judging_readers(tmp_path, run_directory, count=2):
        for _ in range(ROUNDS):
            applied = journal.timestamp
            for _ in range(random.randint(1, 12)):
                stream(bank, peer, transactions_page, batches=random.randint(1, 60))
                # Somewhere between the first page written and everything applied.
                wait_for = random.choice((applied + 10, journal.timestamp - 300, 0))
                peer.wait_applied(min(wait_for, journal.timestamp))
            storage.kill()
            storage.start()
            peer.wait_applied(journal.timestamp)
            check_map(bank, journal, tmp_path)
    storage.kill()
    check_structure(tmp_path)


def test_readers_die_and_give_their_slots_back(
    start: Start,
    peer: JournalPeer,
    journal: Journal,
    transactions_page: SharedPage,
    run_directory: Path,
    tmp_path: Path,
) -> None:
    bank = Bank(journal, seed=8)
    Instance(run_directory, slots=8)
    storage = start(**BUSY)
    peer.wait_applied(journal.timestamp)
    for _ in range(ROUNDS):
        readers = [JudgingReader(tmp_path, run_directory, slot) for slot in range(3)]
        stream(bank, peer, transactions_page, batches=50)
        peer.wait_applied(journal.timestamp)
        for reader in readers:
            reader.kill()
        slots = wait_for_free_slots(tmp_path)
        assert slots == 0
        stream(bank, peer, transactions_page, batches=5)
        # The dead readers' timestamps are still in their slots, and hold nothing back.
        peer.wait_applied(journal.timestamp)
        transactions_page.store(TransactionsWord.ACKNOWLEDGED, journal.timestamp)
        wait_until(
            lambda expected=journal.timestamp: storage.words()["HORIZON"] == expected,
            "the horizon has passed the dead readers",
        )
    check_map(bank, journal, tmp_path)


def wait_for_free_slots(data: Path) -> int:
    """Reader slots of LMDB that belong to processes that are not there; storage clears them."""

    def dead() -> int:
        environment = lmdb.open(str(data / "storage" / "map"), readonly=True, max_dbs=8, map_size=1 << 40)
        try:
            lines = environment.readers().splitlines()[1:]
        finally:
            environment.close()
        processes = [int(line.split()[0]) for line in lines]
        return sum(not Path(f"/proc/{process}").exists() for process in processes)

    wait_until(lambda: dead() == 0, "storage has freed the slots of dead readers")
    return dead()


def test_processes_come_and_go_while_the_writer_works(
    start: Start,
    peer: JournalPeer,
    journal: Journal,
    transactions_page: SharedPage,
    run_directory: Path,
    tmp_path: Path,
) -> None:
    """Open, read, close, from many processes, over clean stops and kills: the lock file is made anew in between."""
    bank = Bank(journal, seed=9)
    Instance(run_directory, slots=8)
    storage = start(**BUSY)
    peer.wait_applied(journal.timestamp)
    for number in range(ROUNDS):
        with judging_readers(tmp_path, run_directory, count=3):
            stream(bank, peer, transactions_page, batches=30)
            if number % 2:
                storage.kill()
            else:
                assert storage.stop() == 0
            with JudgingReaderWithoutWriter(tmp_path, run_directory):
                pass
            storage.start()
            peer.wait_applied(journal.timestamp)
        check_map(bank, journal, tmp_path)


class JudgingReaderWithoutWriter:
    """A reader may open the map, and read it, while no storage process is there."""

    def __init__(self, data: Path, run: Path) -> None:
        self._reader = JudgingReader(data, run, slot=7)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        verdict = self._reader.verdict()
        assert self._reader.process.returncode == 0, verdict


def test_a_stopped_writer_is_no_obstacle(
    start: Start,
    peer: JournalPeer,
    journal: Journal,
    transactions_page: SharedPage,
    run_directory: Path,
    tmp_path: Path,
) -> None:
    """SIGSTOP in the middle of its work, kill -9 while stopped: whatever lock it held is recovered."""
    random = Random(10)
    bank = Bank(journal, seed=10)
    Instance(run_directory, slots=4)
    storage = start(**BUSY)
    with judging_readers(tmp_path, run_directory, count=1):
        for _ in range(ROUNDS):
            stream(bank, peer, transactions_page, batches=random.randint(10, 80))
            os.kill(storage.process_id, signal.SIGSTOP)
            assert isinstance(storage, StorageProcess)
            storage.kill()
            storage.start()
            peer.wait_applied(journal.timestamp)
            check_map(bank, journal, tmp_path)

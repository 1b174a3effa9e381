"""The storage process end to end: what the journal says is what a reader of the map finds."""

import os
import shutil
from pathlib import Path

import lmdb
import pytest

from tests.integration.storage.conftest import Start
from tests.integration.storage.journal_peer import Journal, JournalPeer, row
from tests.integration.storage.map_view import MapView
from tests.integration.storage.storage_process import StorageProcess
from tests.integration.storage.waiting import wait_until


def test_commits_become_visible_at_their_timestamps(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    first = journal.write((1, row(1), b"one"), (1, row(2), b"two"))
    second = journal.write((2, row(1), b"uno"), (4, row(2), b""))
    storage = start()
    peer.wait_applied(second)
    with MapView(tmp_path) as view:
        assert view.at(first) == {row(1): b"one", row(2): b"two"}
        assert view.at(second) == {row(1): b"uno"}
        assert view.meta()["position"] == journal.end
        assert view.meta()["timestamp"] == second
    words = storage.words()
    assert words["APPLIED"] == second
    assert words["APPLIED_POSITION"] == journal.end
    assert words["MAP_BYTES"] == 1 << 40
    assert words["PROCESS_ID"] == storage.process_id
    assert storage.stop() == 0


def test_a_restart_goes_on_where_it_was(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    storage = start()
    for number in range(20):
        journal.write((1, row(number), b"value %d" % number), deltas=[(7, 1, 10)])
        peer.send_new()
        if number % 5 == 4:
            peer.wait_applied(journal.timestamp)
            followed = len(peer.followed)
            if number % 10 == 4:
                storage.kill()
            else:
                assert storage.stop() == 0
            storage.start()
            peer.wait_followed(followed + 1)
            assert peer.followed[-1] == journal.end
    with MapView(tmp_path) as view:
        assert view.at(journal.timestamp) == {row(number): b"value %d" % number for number in range(20)}
        assert view.sizes() == {7: (20, 200)}


def test_the_service_may_come_later_and_go_at_any_time(
    start: Start, run_directory: Path, journal: Journal, tmp_path: Path
) -> None:
    storage = start(wait=False)
    wait_until(lambda: "trying to reach" in storage.log(), "storage has tried to connect")
    for number in range(5):
        peer = JournalPeer(run_directory / "journal.sock", journal)
        if number == 0:
            storage.wait_ready()
        timestamp = journal.write((1, row(number), b"v"))
        peer.wait_followed()
        peer.send_new()
        peer.wait_applied(timestamp)
        if number % 2:
            peer.disconnect()
            peer.wait_followed(2)
        peer.close()
    with MapView(tmp_path) as view:
        assert len(view.at(journal.timestamp)) == 5


def test_a_long_queue_is_applied_in_order(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    for number in range(3_000):
        journal.write((1 if number < 100 else 2, row(number % 100), b"%d" % number))
        if number % 1_000 == 500:
            journal.next_segment()
    start()
    peer.wait_applied(journal.timestamp)
    with MapView(tmp_path) as view:
        expected = {row(number): b"%d" % (2_900 + number) for number in range(100)}
        assert view.at(journal.timestamp) == expected


def test_a_huge_transaction_appears_as_a_whole(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    before = journal.write((1, row(0), b"before"))
    storage = start(chunk_writes_max=500, giant_bytes=1 << 20)
    peer.wait_applied(before)
    rows = 50_000
    after = journal.write(*((1, row(number), b"v" * 50) for number in range(1, rows)))
    peer.send_new()
    seen = set()
    with MapView(tmp_path) as view:
        while peer.applied.timestamp < after:
            watermark = storage.words()["APPLIED"]
            seen.add(len(view.at(watermark)))
        assert len(view.at(after)) == rows
        assert seen <= {1, rows}


def test_keys_and_values_of_any_size(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    longest = b"\x10\0\0\0\x01" + bytes(range(256)) * 8
    writes = [
        (1, longest[:length], bytes([length % 251 + 1]) * size)
        for length, size in ((1962, 1), (1000, 1 << 20), (100, 4_000), (13, 100_000))
    ]
    writes = [
        (operation, bytes([*key[:4], index, *key[5:]]), value) for index, (operation, key, value) in enumerate(writes)
    ]
    timestamp = journal.write(*writes)
    start()
    peer.wait_applied(timestamp)
    with MapView(tmp_path) as view:
        assert view.at(timestamp) == {key: value for _, key, value in writes}


def test_catalog_entries_and_versions(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    journal.write(catalog_entry=b"create table one")
    journal.write(catalog_entry=b"statistics", invalidates_running=False)
    start()
    peer.wait_applied(journal.timestamp)
    with MapView(tmp_path) as view:
        entries = {key: value for key, _, value in view.versions() if key[0] == 0x30}
        assert entries == {
            b"\x30" + (1).to_bytes(8, "big"): b"create table one",
            b"\x30" + (2).to_bytes(8, "big"): b"statistics",
        }
        assert view.meta()["catalog_version"] == 2
        assert view.meta()["schema_version"] == 1


def test_a_gap_kills_the_process(start: Start, peer: JournalPeer, journal: Journal) -> None:
    storage = start()
    journal.write((1, row(1), b"lost"))
    lost = journal.batches.pop()
    journal.write((1, row(2), b"v"))
    peer.send_new()
    assert storage.wait_exit() != 0
    assert "comes next" in storage.log()
    journal.batches.insert(-1, lost)
    storage.start()
    peer.wait_applied(journal.timestamp)


def test_only_one_process_may_have_the_map(start: Start, peer: JournalPeer, tmp_path: Path) -> None:
    first = start()
    second = StorageProcess(tmp_path, first.run)
    second.start(wait=False)
    assert second.wait_exit() == 1
    assert "another storage process" in second.log()
    peer.wait_followed()
    assert len(peer.followed) == 1


def test_a_map_of_another_format_is_refused_with_advice(start: Start, peer: JournalPeer, tmp_path: Path) -> None:
    storage = start()
    assert storage.stop() == 0
    shutil.rmtree(tmp_path / "storage" / "map")
    lmdb.open(str(tmp_path / "storage" / "map"), lib_version=0).close()
    storage.start(wait=False)
    assert storage.wait_exit() == 1
    assert "move" in storage.log()
    peer.wait_followed()
    assert len(peer.followed) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_privileges_are_dropped(run_directory: Path, peer: JournalPeer, journal: Journal) -> None:
    nobody = 65534
    timestamp = journal.write((1, row(1), b"one"))
    data = run_directory / "data"
    data.mkdir()
    for directory in (run_directory, data):
        os.chown(directory, nobody, nobody)
    storage = StorageProcess(data, run_directory)
    storage.arguments = ["--uid", str(nobody), "--gid", str(nobody)]
    try:
        storage.start()
        peer.wait_applied(timestamp)
        status = Path(f"/proc/{storage.process_id}/status").read_text()
        assert f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}" in status
        assert f"Gid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}" in status
        assert "Groups:\t \n" in status
        assert {path.stat().st_uid for path in (data / "storage").rglob("*")} == {nobody}
        assert (data / "storage" / "map" / "lock.mdb").stat().st_mode & 0o777 == 0o660
    finally:
        storage.close()

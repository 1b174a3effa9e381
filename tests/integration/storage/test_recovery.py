"""After a power loss the map comes back from a snapshot and the journal, exactly once."""

import json
import shutil
from pathlib import Path

from tests.integration.storage.bank import Bank
from tests.integration.storage.conftest import Start
from tests.integration.storage.journal_peer import Journal, JournalPeer, row
from tests.integration.storage.map_view import MapView
from tests.integration.storage.waiting import wait_until


def lose_power(data: Path) -> None:
    """The map was written under another boot and was not closed; what is in its file is anybody's guess."""
    path = data / "storage" / "map.state"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another", "is_clean": False}))
    with (data / "storage" / "map" / "data.mdb").open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xa5" * 4096 * 3)


def write_rows(journal: Journal, count: int) -> None:
    first = len(journal.batches)
    for number in range(first, first + count):
        journal.write((1, row(number), b"v" * 500), deltas=[(7, 1, 500)])


def check_all(journal: Journal, data: Path, rows: int) -> None:
    with MapView(data) as view:
        assert len(view.at(journal.timestamp)) == rows
        assert view.sizes() == {7: (rows, 500 * rows)}


def test_without_a_snapshot_everything_comes_from_the_journal(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    write_rows(journal, 40)
    storage = start()
    peer.wait_applied(journal.timestamp)
    storage.kill()
    lose_power(tmp_path)
    write_rows(journal, 5)
    storage.start()
    peer.wait_applied(journal.timestamp)
    assert peer.followed == [0, 0]
    check_all(journal, tmp_path, 45)


def test_a_snapshot_and_the_rest_of_the_journal(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    storage = start(snapshot_journal_bytes=20_000)
    for round_number in range(1, 4):
        write_rows(journal, 50)
        peer.send_new()
        peer.wait_applied(journal.timestamp)
        wait_until(
            lambda expected=round_number: storage.log().count("snapshot of position") == expected, "a snapshot is taken"
        )
    peer.wait_snapshot(2)
    kept = sorted(path.name for path in (tmp_path / "storage" / "snapshots").iterdir())
    assert len(kept) == 2
    assert f"{peer.snapshots[-1]:016x}" == kept[0]
    write_rows(journal, 10)
    peer.send_new()
    peer.wait_applied(journal.timestamp)
    generation = map_state(tmp_path)["generation"]
    storage.kill()
    lose_power(tmp_path)
    journal.drop_first(sum(start < peer.snapshots[-1] for start, _ in journal.batches))
    storage.start()
    peer.wait_followed(2)
    assert peer.followed[-1] == int(kept[1], 16)
    wait_until(lambda: storage.words()["APPLIED"] == journal.timestamp, "the journal is applied")
    check_all(journal, tmp_path, 160)
    assert map_state(tmp_path)["generation"] != generation


def test_a_damaged_snapshot_is_passed_over(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    storage = start(snapshot_journal_bytes=20_000)
    for round_number in range(1, 3):
        write_rows(journal, 50)
        peer.send_new()
        peer.wait_applied(journal.timestamp)
        wait_until(
            lambda expected=round_number: storage.log().count("snapshot of position") == expected, "a snapshot is taken"
        )
    storage.kill()
    lose_power(tmp_path)
    older, newer = sorted((tmp_path / "storage" / "snapshots").iterdir())
    (newer / "data.mdb").write_bytes((newer / "data.mdb").read_bytes()[:-1] + b"!")
    storage.start()
    peer.wait_followed(2)
    assert peer.followed[-1] == int(older.name, 16)
    assert "does not match its manifest" in storage.log()
    wait_until(lambda: storage.words()["APPLIED"] == journal.timestamp, "the journal is applied")
    check_all(journal, tmp_path, 100)


def test_a_journal_that_begins_too_late_is_the_end(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    write_rows(journal, 20)
    storage = start()
    peer.wait_applied(journal.timestamp)
    storage.kill()
    lose_power(tmp_path)
    journal.drop_first(10)
    storage.start(wait=False)
    assert storage.wait_exit() == 1
    assert f"the journal begins at position {journal.start}" in storage.log()
    assert "backup" in storage.log()


def test_a_copied_data_directory_does_not_pass_for_the_original(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    """A copy of a running map is torn; its boot is right, its inode is not."""
    write_rows(journal, 20)
    storage = start()
    peer.wait_applied(journal.timestamp)
    storage.kill()
    original = tmp_path / "storage" / "map"
    shutil.copytree(original, tmp_path / "copy")
    shutil.rmtree(original)
    (tmp_path / "copy").rename(original)
    storage.start()
    peer.wait_followed(2)
    assert peer.followed == [0, 0]
    wait_until(lambda: storage.words()["APPLIED"] == journal.timestamp, "the journal is applied")
    check_all(journal, tmp_path, 20)


def test_a_clean_map_survives_a_reboot(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    write_rows(journal, 20)
    storage = start()
    peer.wait_applied(journal.timestamp)
    assert storage.stop() == 0
    state = map_state(tmp_path)
    assert state["is_clean"]
    (tmp_path / "storage" / "map.state").write_text(json.dumps(state | {"boot": "another"}))
    assert (tmp_path / "storage" / "map" / "data.mdb").stat().st_size < 1 << 20
    storage.start()
    peer.wait_followed(2)
    assert peer.followed[-1] == journal.end
    assert not map_state(tmp_path)["is_clean"]
    check_all(journal, tmp_path, 20)


def test_snapshots_beside_a_busy_writer(start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path) -> None:
    """A snapshot is a state between two commits, whatever is written while it is being copied."""
    bank = Bank(journal, seed=11)
    storage = start(snapshot_journal_bytes=100_000, chunk_writes_max=20)
    for _ in range(3):
        taken = len(peer.snapshots)
        while len(peer.snapshots) == taken:
            bank.transact(40)
            peer.send_new()
            peer.wait_applied(journal.timestamp)
        storage.kill()
        lose_power(tmp_path)
        journal.drop_first(sum(start < peer.snapshots[-1] for start, _ in journal.batches))
        bank.transact(5)
        followed = len(peer.followed)
        storage.start()
        peer.wait_followed(followed + 1)
        assert peer.followed[-1] >= peer.snapshots[-1]
        wait_until(
            lambda expected=journal.timestamp: storage.words()["APPLIED"] == expected,
            "the journal is applied",
        )
        with MapView(tmp_path) as view:
            assert view.at(journal.timestamp) == bank.rows


def map_state(data: Path) -> dict[str, object]:
    return json.loads((data / "storage" / "map.state").read_text())

"""Which map is trusted, and what a snapshot is worth."""

import json
from pathlib import Path

import pytest

from borealis.foundation.identifiers import Position
from borealis.storage.durable_files import replace_file
from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.ordered_map import Table
from borealis.storage.recovery import MapState, Verdict, judge, read_state, write_state
from borealis.storage.settings import MEBIBYTE, StorageSettings
from borealis.storage.snapshots import (
    MANIFEST_FILE,
    DamagedSnapshot,
    SnapshotAborted,
    SnapshotCopy,
    list_snapshots,
    remove_old_snapshots,
    restore_snapshot,
    truncation_bound,
)

SMALL = StorageSettings(map_bytes_max=256 * MEBIBYTE)


@pytest.mark.parametrize(
    ("state", "inode", "boot", "verdict"),
    [
        (None, None, "b1", Verdict.REBUILD),
        (None, 7, "b1", Verdict.REBUILD),
        (MapState("b1", 7, False, 1), None, "b1", Verdict.REBUILD),
        (MapState("b1", 7, False, 1), 7, "b1", Verdict.KEEP),
        (MapState("b1", 7, False, 1), 7, "b2", Verdict.REBUILD),
        (MapState("b1", 7, False, 1), 8, "b1", Verdict.REBUILD),
        (MapState("b1", 7, True, 1), 7, "b2", Verdict.KEEP),
        (MapState("b1", 7, True, 1), 8, "b2", Verdict.KEEP),
        (MapState("", 7, False, 1), 7, "", Verdict.REBUILD),
    ],
)
def test_a_map_is_trusted_when_the_page_cache_or_the_disk_has_all_of_it(
    state: MapState | None, inode: int | None, boot: str, verdict: Verdict
) -> None:
    assert judge(state, inode, boot) is verdict


def test_state_survives_and_nonsense_is_nothing(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    state = MapState("boot", 12, True, 99)
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    replace_file(tmp_path / "map.state", b"{}")
    assert read_state(tmp_path) is None
    replace_file(tmp_path / "map.state", b"\xff\x00")
    assert read_state(tmp_path) is None


def fill(environment: LmdbMap, position: int, rows: int = 500) -> None:
    with environment.write() as writer:
        writer.put(Table.VERSIONS, [(b"%08d" % number, b"x" * 100) for number in range(rows)])
        writer.put(Table.META, [(b"position", position.to_bytes(8, "little"))])


def contents(directory: Path) -> list[tuple[bytes, bytes]]:
    environment = LmdbMap(directory, SMALL)
    try:
        with environment.read() as reader:
            return list(reader.scan(Table.VERSIONS, b""))
    finally:
        environment.close(is_clean=False)


def test_a_snapshot_restores_what_was_copied(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path / "map", SMALL)
    fill(environment, 4_096)
    snapshot = SnapshotCopy(environment, tmp_path / "snapshots").run()
    fill(environment, 8_192, rows=600)
    environment.close(is_clean=True)
    assert list_snapshots(tmp_path / "snapshots") == [snapshot]
    assert snapshot.position == 4_096
    restore_snapshot(snapshot, tmp_path / "restored")
    assert len(contents(tmp_path / "restored")) == 500
    assert len(contents(tmp_path / "map")) == 600


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path / "map", SMALL)
    fill(environment, 4_096)
    snapshot = SnapshotCopy(environment, tmp_path / "snapshots").run()
    environment.close(is_clean=False)
    data = snapshot.directory / "data.mdb"
    changed = bytearray(data.read_bytes())
    changed[len(changed) // 2] ^= 1
    data.write_bytes(changed)
    with pytest.raises(DamagedSnapshot):
        restore_snapshot(snapshot, tmp_path / "restored")
    assert list((tmp_path / "restored").iterdir()) == []
    data.write_bytes(changed[:-4096])
    with pytest.raises(DamagedSnapshot):
        restore_snapshot(snapshot, tmp_path / "restored")


def test_a_snapshot_without_its_manifest_does_not_exist(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path / "map", SMALL)
    fill(environment, 4_096)
    snapshot = SnapshotCopy(environment, tmp_path / "snapshots").run()
    environment.close(is_clean=False)
    manifest = snapshot.directory / MANIFEST_FILE
    text = manifest.read_text()
    manifest.write_text(text[:-10])
    assert list_snapshots(tmp_path / "snapshots") == []
    manifest.write_text(json.dumps(json.loads(text) | {"format": 2}))
    assert list_snapshots(tmp_path / "snapshots") == []


def test_an_aborted_snapshot_leaves_nothing_to_restore(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path / "map", SMALL)
    fill(environment, 4_096)
    copy = SnapshotCopy(environment, tmp_path / "snapshots")
    copy.abort()
    with pytest.raises(SnapshotAborted):
        copy.run()
    environment.close(is_clean=False)
    assert list_snapshots(tmp_path / "snapshots") == []


def test_the_journal_is_kept_for_the_oldest_snapshot(tmp_path: Path) -> None:
    environment = LmdbMap(tmp_path / "map", SMALL)
    directory = tmp_path / "snapshots"
    bounds = []
    for position in (1_000, 2_000, 3_000):
        fill(environment, position)
        SnapshotCopy(environment, directory).run()
        remove_old_snapshots(directory, kept=2)
        bounds.append(truncation_bound(list_snapshots(directory), kept=2))
    environment.close(is_clean=False)
    assert bounds == [None, 1_000, 2_000]
    assert [snapshot.position for snapshot in list_snapshots(directory)] == [2_000, 3_000]
    assert truncation_bound([], kept=2) is None
    assert Position(0) not in bounds

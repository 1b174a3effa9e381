from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import Position, Timestamp
from borealis.journal import NoRoom
from borealis.journal.disk import LocalDisk
from borealis.journal.reading import Truncated, read_batches
from borealis.journal.recovery import JournalDamaged
from simulation.disk import VirtualDisk
from tests.examples import examples
from tests.unit.journal.driving import SEGMENT_BYTES, Opened, payload

ZONES = [Path("zone-1"), Path("zone-2")]


class PowerLoss(BaseException):
    pass


def virtual() -> VirtualDisk:
    return VirtualDisk(Random(1))


def test_a_full_disk_refuses_before_anything_is_written_and_works_again_with_room() -> None:
    disk = virtual()
    opened = Opened(ZONES[:1], disk)
    opened.append(payload(0))
    disk.capacity = SEGMENT_BYTES + 100
    appended = append_until_full(opened)
    end = opened.journal.end
    assert "spare.segment" not in disk.list_names(ZONES[0])
    with pytest.raises(NoRoom):
        opened.append(payload(appended))
    assert opened.journal.end == end
    disk.capacity = None
    opened.append(payload(appended))
    assert opened.read_all() == [payload(number) for number in range(appended + 1)]


def append_until_full(opened: Opened) -> int:
    """How many there are then."""
    for number in range(opened.count, 1000):
        try:
            opened.append(payload(number))
        except NoRoom:
            return number
    raise AssertionError("the disk has not become full")


def test_a_giant_finds_no_room_and_smaller_ones_still_do() -> None:
    disk = virtual()
    opened = Opened(ZONES[:1], disk)
    opened.append(payload(0))
    disk.capacity = 4 * SEGMENT_BYTES
    with pytest.raises(NoRoom):
        opened.append(payload(1, 10 * SEGMENT_BYTES))
    opened.append(payload(1))
    assert opened.read_all() == [payload(0), payload(1)]


def test_a_regular_spare_grows_for_a_giant() -> None:
    disk = virtual()
    opened = Opened(ZONES, disk)
    opened.append(payload(0))
    for _ in opened.journal.prepare_spare():
        pass
    giant = payload(1, 3 * SEGMENT_BYTES)
    opened.append(giant)
    assert opened.read_all() == [payload(0), giant]
    assert Opened(ZONES, disk).replayed == [payload(0), giant]


@pytest.mark.parametrize("fail_at", ["append", "rotate", "prepare"])
def test_a_sync_that_fails_is_fatal(fail_at: str) -> None:
    disk = virtual()
    opened = Opened(ZONES[:1], disk)
    opened.append(payload(0))
    if fail_at == "append":
        disk.fails_next_sync = True
        with pytest.raises(InvariantViolation):
            opened.append(payload(1))
    elif fail_at == "prepare":
        disk.fails_next_sync = True
        with pytest.raises(InvariantViolation):
            list(opened.journal.prepare_spare())
    else:
        list(opened.journal.prepare_spare())
        disk.fails_next_sync = True
        with pytest.raises(InvariantViolation):
            opened.journal.rotate(opened.epoch, opened.checkpoint())


def test_an_append_without_room_is_a_bug() -> None:
    opened = Opened(ZONES[:1], virtual())
    with pytest.raises(InvariantViolation):
        opened.journal.append(bytes(64))
    with pytest.raises(InvariantViolation):
        opened.journal.rotate(opened.epoch, opened.checkpoint())


def test_whole_segments_below_the_snapshot_are_removed_and_nothing_else() -> None:
    disk = virtual()
    opened = Opened(ZONES, disk)
    for number in range(100):
        opened.append(payload(number))
    journal = opened.journal
    third = journal.segments[3]
    assert journal.truncate(Position(third.header.first_position + 10), Timestamp(10**18)) == 3
    assert journal.oldest == third.header.first_position
    for zone in ZONES:
        assert disk.list_names(zone)[0] == third.name
    with pytest.raises(Truncated):
        read_batches(opened.view(), Position(0))
    kept = opened.read_all(journal.oldest)
    assert kept == [payload(number) for number in range(third.checkpoint.transactions, 100)]
    again = Opened(ZONES, disk)
    assert again.replayed == kept
    assert again.count == 100


def test_segments_that_outcomes_need_are_kept() -> None:
    opened = Opened(ZONES[:1], virtual())
    for number in range(100):
        opened.append(payload(number))
    journal = opened.journal
    second = journal.segments[2]
    assert journal.truncate(journal.end, second.checkpoint.last_timestamp) == 2
    assert journal.oldest == second.header.first_position


def test_the_current_segment_is_never_removed() -> None:
    opened = Opened(ZONES[:1], virtual())
    opened.append(payload(0))
    assert opened.journal.truncate(opened.journal.end, Timestamp(10**18)) == 0


def test_recovery_needs_only_what_is_enough() -> None:
    disk = virtual()
    opened = Opened(ZONES[:1], disk)
    for number in range(100):
        opened.append(payload(number))
    again = Opened(ZONES[:1], disk, replay_all=False)
    assert 0 < len(again.replayed) < 40
    assert again.count == 100
    assert again.journal.end == opened.journal.end


@pytest.mark.parametrize("position", [1, 63, 64, 72, 200])
def test_reading_from_a_position_that_is_no_batch_fails_loudly_or_finds_the_next(position: int) -> None:
    opened = Opened(ZONES[:1], virtual())
    opened.append(payload(0))
    if position <= 64:
        assert opened.read_all(position) == [payload(0)]
    else:
        with pytest.raises(JournalDamaged):
            opened.read_all(position)


def test_reading_takes_the_zone_that_is_intact() -> None:
    disk = virtual()
    opened = Opened(ZONES, disk)
    payloads = [payload(0), payload(1), payload(2, 2_000_000), payload(3)]
    for each in payloads:
        opened.append(each)
    for path, data in disk.files().items():
        if path.parent == ZONES[0]:
            disk.flip_bit(path, 300 if len(data) == SEGMENT_BYTES else 1_000_000, 0)
    assert opened.read_all() == payloads


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(8, 6000), min_size=1, max_size=25), st.integers(1, 2))
def test_whatever_was_appended_survives_a_power_loss_at_any_moment(seed: int, lengths: list[int], zones: int) -> None:
    disk = VirtualDisk(Random(seed))
    random = Random(seed)
    acknowledged: list[bytes] = []
    attempted: list[bytes] = []
    while lengths:
        countdown = [random.randint(0, 120)]

        def tick(left: list[int] = countdown) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise PowerLoss

        disk.tick = lambda: None
        opened = Opened(ZONES[:zones], disk)
        assert opened.replayed[: len(acknowledged)] == acknowledged
        assert opened.replayed in (acknowledged, attempted)
        acknowledged = list(opened.replayed)
        disk.tick = tick
        try:
            while lengths:
                each = payload(len(acknowledged), lengths.pop())
                attempted = [*acknowledged, each]
                opened.append(each)
                acknowledged = attempted
        except PowerLoss:
            pass
        disk.tick = lambda: None
        disk.lose_power()
    assert Opened(ZONES[:zones], disk).replayed[: len(acknowledged)] == acknowledged


def test_the_local_disk_speaks_the_same_language(tmp_path: Path) -> None:
    disk = LocalDisk()
    disk.make_directory(tmp_path / "a" / "b")
    file = disk.create(tmp_path / "a" / "b" / "file")
    file.allocate(10_000)
    assert file.size() == 10_000
    assert file.read_at(9_990, 100) == bytes(10)
    file.write_at(5, b"hello")
    file.sync()
    assert file.read_at(4, 7) == b"\0hello\0"
    file.close()
    disk.rename(tmp_path / "a" / "b" / "file", tmp_path / "a" / "b" / "other")
    disk.sync_directory(tmp_path / "a" / "b")
    assert disk.list_names(tmp_path / "a" / "b") == ["other"]
    disk.remove(tmp_path / "a" / "b" / "other")
    with pytest.raises(FileNotFoundError) as missing:
        disk.open(tmp_path / "a" / "b" / "other")
    assert missing.value.errno == errno.ENOENT

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Position
from borealis.journal import JournalDamaged
from borealis.journal.segments import parse_segment_name, segment_name
from borealis.wire.journal_batch import JournalRecord, RecordKind, encode_batch
from tests.unit.journal.driving import SEGMENT_BYTES, Opened, payload


@pytest.fixture
def zones(tmp_path: Path) -> list[Path]:
    return [tmp_path / "zone-1", tmp_path / "zone-2"]


def fill(zones: list[Path], count: int, length: int = 100) -> list[bytes]:
    opened = Opened(zones)
    payloads = [payload(number, length) for number in range(opened.count, opened.count + count)]
    for each in payloads:
        opened.append(each)
    opened.close()
    return payloads


def reopened(zones: list[Path]) -> list[bytes]:
    opened = Opened(zones)
    assert opened.read_all() == opened.replayed
    opened.close()
    return opened.replayed


def only_segment(zone: Path) -> Path:
    (path,) = zone.iterdir()
    return path


def last_batch(zones: list[Path]) -> tuple[int, int]:
    """Where the last batch begins and ends."""
    opened = Opened(zones)
    end = opened.journal.end
    opened.close()
    return end - 168, end


def damage(path: Path, offset: int, change: Callable[[int], int]) -> None:
    data = bytearray(path.read_bytes())
    data[offset] = change(data[offset])
    path.write_bytes(data)


def erase(path: Path, begin: int, end: int) -> None:
    data = bytearray(path.read_bytes())
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)


def test_everything_is_found_again_over_many_segments(zones: list[Path]) -> None:
    payloads = fill(zones, 100)
    assert len(list(zones[0].iterdir())) > 3
    assert reopened(zones) == payloads
    payloads += fill(zones, 10)
    assert reopened(zones) == payloads


def test_a_batch_larger_than_a_segment_has_one_of_its_own(zones: list[Path]) -> None:
    opened = Opened(zones)
    payloads = [payload(0), payload(1, 5 * SEGMENT_BYTES), payload(2), payload(3, 3_000_000), payload(4)]
    for each in payloads:
        opened.append(each)
    assert opened.read_all() == payloads
    opened.close()
    assert reopened(zones) == payloads


def test_a_tail_torn_at_any_byte_is_cut(zones: list[Path], tmp_path: Path) -> None:
    payloads = fill(zones[:1], 3, length=104)  # without padding, whose loss nobody would notice
    begin, end = last_batch(zones[:1])
    original = only_segment(zones[0]).read_bytes()
    torn = [tmp_path / "torn"]
    for length in range(begin, end):
        torn[0].mkdir()
        path = torn[0] / segment_name(Position(0))
        path.write_bytes(original[:length] + bytes(len(original) - length))
        assert reopened(torn) == payloads[:2], f"torn at {length}"
        assert not any(path.read_bytes()[begin:]), "remains of the torn batch were left"
        payloads_after = [*payloads[:2], *fill(torn, 1)]
        assert reopened(torn) == payloads_after
        shutil.rmtree(torn[0])
    assert reopened(zones[:1]) == payloads


def test_a_tail_that_only_its_end_reached_the_disk_is_cut(zones: list[Path]) -> None:
    """Sectors reach the disk in any order: the beginning of a batch may be what is missing."""
    payloads = fill(zones[:1], 3)
    begin, end = last_batch(zones[:1])
    path = only_segment(zones[0])
    data = bytearray(path.read_bytes())
    data[begin : begin + 80] = bytes(80)
    path.write_bytes(data)
    assert reopened(zones[:1]) == payloads[:2]
    assert not any(path.read_bytes()[begin:end])


@pytest.mark.parametrize("batch", [0, 1])
def test_a_flipped_bit_in_the_middle_is_reported_with_its_place(zones: list[Path], batch: int) -> None:
    fill(zones[:1], 3)
    begin, _ = last_batch(zones[:1])
    path = only_segment(zones[0])
    offset = begin - 168 * (2 - batch)
    for within in (0, 5, 9, 20, 40, 100, 167):
        damage(path, offset + within, lambda byte: byte ^ 4)
        with pytest.raises(JournalDamaged) as damaged:
            Opened(zones[:1])
        assert damaged.value.path == path
        assert damaged.value.offset == offset
        damage(path, offset + within, lambda byte: byte ^ 4)
    assert len(reopened(zones[:1])) == 3


def test_damage_in_a_segment_that_is_full_is_reported(zones: list[Path]) -> None:
    """Also in its last batch: the segment behind it says that there was one."""
    fill(zones[:1], 60)
    opened = Opened(zones[:1])
    first, second = opened.journal.segments[:2]
    opened.close()
    path = zones[0] / first.name
    for offset in (500, second.checkpoint.previous_end - 4):
        damage(path, offset, lambda byte: byte ^ 1)
        with pytest.raises(JournalDamaged) as damaged:
            Opened(zones[:1])
        assert damaged.value.path == path
        damage(path, offset, lambda byte: byte ^ 1)


def test_a_missing_segment_is_reported(zones: list[Path]) -> None:
    fill(zones[:1], 100)
    names = sorted(path.name for path in zones[0].iterdir())
    (zones[0] / names[1]).unlink()
    with pytest.raises(JournalDamaged) as damaged:
        Opened(zones[:1])
    assert damaged.value.path.name == names[1]


def test_a_damaged_beginning_of_a_segment_with_batches_is_reported(zones: list[Path]) -> None:
    fill(zones[:1], 3)
    path = only_segment(zones[0])
    damage(path, 3, lambda byte: byte ^ 1)
    with pytest.raises(JournalDamaged):
        Opened(zones[:1])


def test_a_segment_that_was_only_begun_is_forgotten(zones: list[Path]) -> None:
    payloads = fill(zones[:1], 60)
    opened = Opened(zones[:1])
    end = opened.journal.segments[-1].header.end
    opened.close()
    (zones[0] / segment_name(end)).write_bytes(bytes(SEGMENT_BYTES))
    (zones[0] / "spare.segment").write_bytes(bytes(10))
    assert reopened(zones[:1]) == payloads
    assert not (zones[0] / segment_name(end)).exists()
    assert not (zones[0] / "spare.segment").exists()


def test_bytes_of_a_tenant_cannot_pass_for_a_batch(zones: list[Path]) -> None:
    """A transaction holds what looks like the next batch; the batch that held it is torn away from around it."""
    opened = Opened(zones[:1])
    opened.append(payload(0))
    forged_at = opened.journal.end + 40 + 24 + 8
    record = JournalRecord(RecordKind.TRANSACTION, opened.checkpoint().last_timestamp, 0, b"forged")  # type: ignore[arg-type]
    forged = encode_batch(Position(forged_at), 1, [record])  # type: ignore[arg-type]
    begin = opened.journal.end
    opened.append(bytes(8) + forged + bytes(200))
    opened.close()
    path = only_segment(zones[0])
    damage(path, begin + 300, lambda byte: byte ^ 1)
    assert reopened(zones[:1]) == [payload(0)]


# Several zones


def test_a_batch_that_reached_one_zone_only_is_kept_and_copied(zones: list[Path]) -> None:
    payloads = fill(zones, 3)
    path = only_segment(zones[1])
    erase(path, *last_batch(zones))
    assert reopened(zones) == payloads
    assert path.read_bytes() == only_segment(zones[0]).read_bytes()


@pytest.mark.parametrize("zone", [0, 1])
def test_a_damaged_batch_is_repaired_from_the_other_zone(zones: list[Path], zone: int) -> None:
    payloads = fill(zones, 20)
    names = [path.name for path in zones[zone].iterdir()]
    for name in names:
        for offset in (2, 70, 300, 1200):
            damage(zones[zone] / name, offset, lambda byte: byte ^ 1)
    assert reopened(zones) == payloads
    for name in names:
        assert (zones[0] / name).read_bytes() == (zones[1] / name).read_bytes()


def test_a_damaged_beginning_is_mended_and_what_follows_it_stays(zones: list[Path]) -> None:
    """Zone 2 holds a batch more than zone 1, behind a beginning that cannot be read any more."""
    payloads = fill(zones, 3)
    path = only_segment(zones[0])
    erase(path, *last_batch(zones))
    damage(only_segment(zones[1]), 9, lambda byte: byte ^ 1)
    assert reopened(zones) == payloads
    assert path.read_bytes() == only_segment(zones[1]).read_bytes()


@pytest.mark.parametrize("zone", [0, 1])
def test_a_zone_that_comes_back_empty_is_filled_again(zones: list[Path], zone: int) -> None:
    payloads = fill(zones, 60)
    shutil.rmtree(zones[zone])
    assert reopened(zones) == payloads
    assert {path.name for path in zones[0].iterdir()} == {path.name for path in zones[1].iterdir()}


def test_what_was_written_without_a_zone_wins_over_what_it_holds(zones: list[Path]) -> None:
    """Zone 1 has a batch that zone 2 never saw; the journal went on in zone 2 alone; then zone 1 comes back."""
    payloads = fill(zones, 3)
    path = only_segment(zones[1])
    erase(path, *last_batch(zones))
    others = fill(zones[1:], 2, length=60)
    assert reopened(zones) == payloads[:2] + others
    assert path.read_bytes() == only_segment(zones[0]).read_bytes()


def test_damage_at_the_same_place_in_all_zones_is_reported(zones: list[Path]) -> None:
    fill(zones, 3)
    begin, _ = last_batch(zones)
    for zone in zones:
        damage(only_segment(zone), begin - 100, lambda byte: byte ^ 1)
    with pytest.raises(JournalDamaged):
        Opened(zones)


def test_one_owner_at_a_time(zones: list[Path]) -> None:
    opened = Opened(zones)
    with pytest.raises(Unavailable, match="in use"):
        Opened(zones)
    opened.close()
    Opened(zones).close()


@pytest.mark.parametrize(
    "name", ["journal-0.segment", "journal-000000000000000G.segment", "journal-000000000000000A.segment", "x", ""]
)
def test_other_names_are_no_segments(name: str) -> None:
    assert parse_segment_name(name) is None

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.reader_slots import oldest_timestamp, read_oldest_timestamp


def slots(timestamps: list[int], announced: int | None = None) -> bytes:
    header = struct.pack("<8sQ48x", b"BRLSRDR1", len(timestamps) if announced is None else announced)
    return header + b"".join(struct.pack("<QQ", timestamp, 1) for timestamp in timestamps)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=10))
def test_the_oldest_of_the_used_slots_counts(timestamps: list[int]) -> None:
    assert oldest_timestamp(slots(timestamps)) == min(filter(None, timestamps), default=None)


@given(st.binary(max_size=200))
def test_garbage_is_nobody(data: bytes) -> None:
    assert oldest_timestamp(data) is None


@pytest.mark.parametrize("announced", [0, 1, 2**64 - 1])
def test_an_announced_number_is_not_believed(announced: int) -> None:
    assert oldest_timestamp(slots([5, 4], announced)) in (None, 5, 4)


def test_files_of_all_instances_are_read_and_strange_ones_harm_nobody(tmp_path: Path) -> None:
    (tmp_path / "instance-1.readers").write_bytes(slots([0, 9]))
    (tmp_path / "instance-2.readers").write_bytes(slots([7, 0, 8]))
    (tmp_path / "instance-3.readers").mkdir()
    (tmp_path / "instance-4.readers").symlink_to("/etc/passwd")
    (tmp_path / "instance-5.readers").write_bytes(b"")
    os.mkfifo(tmp_path / "instance-6.readers")
    assert read_oldest_timestamp(tmp_path) == 7


def test_nobody_reads(tmp_path: Path) -> None:
    assert read_oldest_timestamp(tmp_path) == 0

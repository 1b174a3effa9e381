"""The page that storage publishes and the reader slots that it watches."""

import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from borealis.foundation.identifiers import CatalogVersion, Position, SchemaVersion, Timestamp
from borealis.foundation.pages import STORAGE_MAGIC, SharedPage, StorageWord, wake_bit
from borealis.storage.apply import Progress
from borealis.storage.publication import GENERATION_WORD, Publication, State
from borealis.storage.reader_slots import HEADER_BYTES, MAGIC, ReaderSlots

WAITER = """
import ctypes, mmap, struct, sys
descriptor = open(sys.argv[1], "rb")
page = mmap.mmap(descriptor.fileno(), 4096, prot=mmap.PROT_READ)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
address = libc.mmap(None, 4096, 1, 1, descriptor.fileno(), 0)
seen = struct.unpack_from("<I", page, 24)[0]
print("waiting", flush=True)
while struct.unpack_from("<I", page, 24)[0] == seen:
    wait_bitset, bits = 9, ctypes.c_uint(int(sys.argv[3]))
    libc.syscall(
        ctypes.c_long(int(sys.argv[2])), ctypes.c_void_p(address + 24), wait_bitset, seen, None, None, bits
    )
print(struct.unpack_from("<Q", page, 8)[0], flush=True)
"""
FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98}


def progress(position: int, timestamp: int) -> Progress:
    return Progress(Position(position), Timestamp(timestamp), CatalogVersion(0), SchemaVersion(0))


def test_what_is_published_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "storage.page"
    with Publication(path) as publication, SharedPage.watch(path, STORAGE_MAGIC) as page:
        publication.open(progress(64, 1_000), Timestamp(900), 1 << 40, 1024, generation=5)
        publication.publish_state(State.FOLLOWING)
        futex = page.load(StorageWord.FUTEX)
        publication.publish_progress(progress(128, 1_100))
        assert page.load(StorageWord.APPLIED) == 1_100
        assert page.load(StorageWord.APPLIED_POSITION) == 128
        assert page.load(StorageWord.FUTEX) == futex + 1
        assert page.load(StorageWord.HORIZON) == 900
        assert page.load(GENERATION_WORD) == 5


def test_the_horizon_never_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "storage.page"
    with Publication(path) as publication:
        publication.publish_horizon(Timestamp(10))
        publication.publish_horizon(Timestamp(9))
        assert publication.horizon == 10
    with Publication(path) as publication:
        assert publication.horizon == 10


def test_the_futex_word_stays_within_its_half(tmp_path: Path) -> None:
    path = tmp_path / "storage.page"
    with Publication(path) as publication, SharedPage.own(path, STORAGE_MAGIC) as page:
        page.store(StorageWord.FUTEX, 2**32 - 1)
        publication.publish_progress(progress(1, 1))
        assert page.load(StorageWord.FUTEX) == 0


@pytest.mark.skipif(os.uname().machine not in FUTEX_NUMBERS or sys.platform != "linux", reason="needs futexes")
@pytest.mark.parametrize("wakes_everybody", [True, False])
def test_a_waiting_process_is_woken(tmp_path: Path, wakes_everybody: bool) -> None:
    path = tmp_path / "storage.page"
    bit = wake_bit(Timestamp(4_711))
    with Publication(path) as publication:
        command = [sys.executable, "-c", WAITER, str(path), str(FUTEX_NUMBERS[os.uname().machine]), str(bit)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiter:
            assert waiter.stdout is not None
            assert waiter.stdout.readline() == "waiting\n"
            if wakes_everybody:
                publication.publish_progress(progress(64, 4_711))
            else:
                publication.publish_progress(progress(64, 4_711), bit)
            assert waiter.stdout.readline() == "4711\n"


def write_slots(path: Path, *slots: tuple[int, int], count: int | None = None) -> None:
    body = b"".join(struct.pack("<QQ", *slot) for slot in slots)
    path.write_bytes(struct.pack("<8sQ", MAGIC, len(slots) if count is None else count).ljust(HEADER_BYTES) + body)


def found(slots: ReaderSlots) -> list[tuple[str, int, int, int, bool]]:
    return [
        (Path(slot.instance).name, slot.index, slot.process_id, slot.read_timestamp, slot.is_alive)
        for slot in slots.occupied()
    ]


def test_occupied_slots_of_all_instances(tmp_path: Path) -> None:
    slots = ReaderSlots(tmp_path, is_alive=lambda process: process != 6)
    assert found(slots) == []
    write_slots(tmp_path / "instance-0.readers", (0, 5), (100, 5), (200, 6))
    write_slots(tmp_path / "instance-1.readers", (300, 0))
    (tmp_path / "instance-0").mkdir()
    assert found(slots) == [
        ("instance-0.readers", 1, 5, 100, True),
        ("instance-0.readers", 2, 6, 200, False),
        ("instance-1.readers", 0, 0, 300, True),
    ]
    (tmp_path / "instance-0.readers").unlink()
    assert [instance for instance, *_ in found(slots)] == ["instance-1.readers"]


def test_a_slot_is_seen_as_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "instance-0.readers"
    write_slots(path, (0, 1))
    slots = ReaderSlots(tmp_path, is_alive=lambda _: True)
    assert found(slots) == []
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[HEADER_BYTES : HEADER_BYTES + 8] = struct.pack("<Q", 77)
        assert [slot.read_timestamp for slot in slots.occupied()] == [77]


def test_files_that_are_not_complete_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "instance-0.readers").write_bytes(b"short")
    (tmp_path / "instance-1.readers").write_bytes(bytes(HEADER_BYTES + 16))
    write_slots(tmp_path / "instance-2.readers", (5, 1), count=1_000_000)
    slots = ReaderSlots(tmp_path, is_alive=lambda _: True)
    assert [(instance, timestamp) for instance, _, _, timestamp, _ in found(slots)] == [("instance-2.readers", 5)]
    write_slots(tmp_path / "instance-0.readers", (6, 1))
    assert [slot.read_timestamp for slot in slots.occupied()] == [6, 5]

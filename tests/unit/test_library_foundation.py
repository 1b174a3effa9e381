"""What the C libraries share, as each of them has linked it."""

from __future__ import annotations

import zlib
from ctypes import CDLL, CFUNCTYPE, c_char_p, c_size_t, c_uint32
from random import Random

import pytest

from borealis.adjudicator.library import library as transaction_library
from borealis.storage.library import library as storage_library


@pytest.mark.parametrize("library", [transaction_library, storage_library], ids=["transactions", "storage"])
def test_checksums_are_those_of_zlib(library: CDLL) -> None:
    checksum = CFUNCTYPE(c_uint32, c_uint32, c_char_p, c_size_t)(("borealis_crc32", library))
    random = Random(1)
    data = random.randbytes(100_000)
    for length in [*range(201), *(random.randrange(len(data)) for _ in range(50))]:
        part, before = data[-length:] if length else b"", random.getrandbits(32)
        assert checksum(0, part, length) == zlib.crc32(part)
        assert checksum(before, part, length) == zlib.crc32(part, before)

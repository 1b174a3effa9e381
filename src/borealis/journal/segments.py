"""Segments: how the logical journal lies in files (docs/formats.md, "Journal"). Pure: bytes in, verdicts out.

A segment is zero from behind its last batch to its end. A batch begins with a magic number, says where it stands and is
checksummed, and epochs never fall along the journal; so what lies at an offset can be judged from the bytes alone, even
when the file still holds remains of a torn write.
"""

import struct
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple
from zlib import crc32

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import Epoch, Position
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import (
    ALIGNMENT,
    BATCH_HEADER_BYTES,
    BATCH_MAGIC,
    BatchHeader,
    decode_batch_header,
    is_batch_intact,
)

SEGMENT_MAGIC: Final = b"BRLSJNL1"
SEGMENT_HEADER_BYTES: Final = 64
SPARE_NAME: Final = "spare.segment"
BLOCK_BYTES: Final = 4096

_HEADER: Final = struct.Struct("<8sQQQ28x")
_CHECKSUM: Final = struct.Struct("<I")
_MAGIC_BYTES: Final = struct.pack("<I", BATCH_MAGIC)


class SegmentHeader(NamedTuple):
    first_position: Position
    size: int
    epoch: Epoch

    @property
    def end(self) -> Position:
        """First position of the next segment."""
        return Position(self.first_position + self.size)


def segment_name(first_position: Position) -> str:
    return f"journal-{first_position:016x}.segment"


def parse_segment_name(name: str) -> Position | None:
    """The first position, or None if this is not the name of a segment."""
    digits = name.removeprefix("journal-").removesuffix(".segment")
    if len(digits) != 16 or not all(digit in "0123456789abcdef" for digit in digits):
        return None
    position = Position(int(digits, 16))
    return position if segment_name(position) == name else None


def encode_segment_header(header: SegmentHeader) -> bytes:
    encoded = _HEADER.pack(SEGMENT_MAGIC, *header)
    return encoded + _CHECKSUM.pack(crc32(encoded))


def decode_segment_header(data: Octets) -> SegmentHeader:
    """Raises Malformed."""
    if len(data) < SEGMENT_HEADER_BYTES:
        raise Malformed("a segment is shorter than its header")
    magic, first_position, size, epoch = _HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise Malformed("a segment does not begin with its magic number")
    if _CHECKSUM.unpack_from(data, _HEADER.size)[0] != crc32(memoryview(data)[: _HEADER.size]):
        raise Malformed("the checksum of a segment header is wrong")
    return SegmentHeader(first_position, size, epoch)


def segment_size_for(batch_bytes: int, checkpoint_bytes: int, regular_size: int) -> int:
    """Size of a segment that can hold its checkpoint and then a batch; the regular one if that is enough."""
    needed = SEGMENT_HEADER_BYTES + checkpoint_bytes + batch_bytes
    return max(regular_size, needed + -needed % BLOCK_BYTES)


class Verdict(Enum):
    """What lies at an offset of a segment."""

    BATCH = "a batch"
    END = "nothing: the rest of the segment is zero"
    BROKEN = "something that is not a batch"


class Finding(NamedTuple):
    verdict: Verdict
    header: BatchHeader | None = None


def examine(segment: memoryview, first_position: Position, offset: int, least_epoch: Epoch) -> Finding:
    """Judge what lies at an offset. A batch of an epoch below `least_epoch` is a remain of a former life: broken."""
    header = _batch_at(segment, first_position, offset, least_epoch)
    if header is not None:
        return Finding(Verdict.BATCH, header)
    return Finding(Verdict.END if is_zero(segment, offset) else Verdict.BROKEN)


def _batch_at(segment: memoryview, first_position: Position, offset: int, least_epoch: Epoch) -> BatchHeader | None:
    try:
        header = decode_batch_header(segment, offset)
    except Malformed:
        return None
    if header.position != first_position + offset or header.epoch < least_epoch:
        return None
    return header if is_batch_intact(header, segment, offset) else None


def is_zero(segment: memoryview, offset: int) -> bool:
    """Whether everything from the offset on is zero. Stops at the first block that is not."""
    chunk = 2**20
    zeros = bytes(chunk)
    for start in range(offset, len(segment), chunk):
        piece = bytes(segment[start : start + chunk])  # bytes compare by memcmp, views element by element
        if piece != zeros and piece.strip(b"\0"):
            return False
    return True


def find_later_batch(
    segment: memoryview, first_position: Position, offset: int, least_epoch: Epoch
) -> BatchHeader | None:
    """A batch somewhere behind a broken one: the proof that the broken one had been durable, and is damaged now."""
    data = segment.obj if isinstance(segment.obj, bytes) else bytes(segment)
    at = data.find(_MAGIC_BYTES, offset + ALIGNMENT)
    while at >= 0:
        if at % ALIGNMENT == 0:
            header = _batch_at(segment, first_position, at, least_epoch)
            if header is not None:
                return header
        at = data.find(_MAGIC_BYTES, at + 1)
    return None


def iterate_batches(segment: memoryview, first_position: Position, offset: int) -> Iterator[tuple[int, BatchHeader]]:
    """(offset, header) of the intact batches in a row from an offset on."""
    while len(segment) - offset >= BATCH_HEADER_BYTES:
        header = _batch_at(segment, first_position, offset, Epoch(0))
        if header is None:
            return
        yield offset, header
        offset += header.length

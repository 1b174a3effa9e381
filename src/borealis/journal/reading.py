"""Reading the journal behind its end: for followers that catch up, while others append.

A reader works on segments and an end that were true at some moment, and may run in another thread; files that are
removed meanwhile show as `Truncated`. Promises: whatever it returns is intact; where a zone's copy is damaged another
zone's is taken, and only if none is left does reading fail, with the file and the offset.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from borealis.foundation.errors import BorealisError, Malformed
from borealis.foundation.identifiers import Position
from borealis.journal.disk import Disk, DiskFile
from borealis.journal.recovery import JournalDamaged, Segment
from borealis.journal.segments import SEGMENT_HEADER_BYTES, iterate_batches
from borealis.wire.journal_batch import BATCH_HEADER_BYTES, BatchHeader, decode_batch_header

_PIECE_BYTES: Final = 2**20


class Truncated(BorealisError):  # noqa: N818 - a state of the journal
    """The position asked for has been truncated away."""


class JournalView(NamedTuple):
    """The journal as it was at some moment."""

    disk: Disk
    zones: Sequence[Path]
    segments: Sequence[Segment]
    end: Position


class BatchRange(NamedTuple):
    """Some bytes of the journal: whole batches in a row, or the first part of one giant batch.

    `giant` is its header then, and the rest is to be read by `read_giant`.
    """

    start: Position
    data: bytes
    giant: BatchHeader | None = None

    @property
    def end(self) -> Position:
        return Position(self.start + (self.giant.length if self.giant else len(self.data)))


def read_batches(view: JournalView, position: Position) -> BatchRange | None:
    """About a mebibyte of whole batches from the first one at or after `position`; None at the end of the journal."""
    if not view.segments or position < view.segments[0].header.first_position:
        raise Truncated(f"position {position} is not in the journal any more")
    for number, segment in enumerate(view.segments):
        first, is_last = segment.header.first_position, number == len(view.segments) - 1
        if position >= segment.header.end:
            continue
        end = view.end if is_last else view.segments[number + 1].checkpoint.previous_end
        offset = max(position - first, SEGMENT_HEADER_BYTES)
        if first + offset < end:
            return _read_range(view, segment, offset, end - first)
    return None


def _read_range(view: JournalView, segment: Segment, offset: int, end: int) -> BatchRange:
    first = segment.header.first_position
    length = min(_PIECE_BYTES, end - offset)
    for zone in view.zones:
        data = _read_at(view.disk, zone / segment.name, offset, length)
        whole = 0
        for start, header in iterate_batches(memoryview(data), Position(first + offset), 0):
            whole = start + header.length
        if whole:
            return BatchRange(Position(first + offset), data[:whole])
        giant = _find_giant(view, zone / segment.name, data, Position(first + offset), offset, end)
        if giant is not None:
            return BatchRange(giant.position, b"", giant)
    raise JournalDamaged(view.zones[0] / segment.name, offset, "a batch is damaged in every zone")


def _read_at(disk: Disk, path: Path, offset: int, length: int) -> bytes:
    file = _open(disk, path)
    try:
        return file.read_at(offset, length)
    finally:
        file.close()


def _open(disk: Disk, path: Path) -> DiskFile:
    try:
        return disk.open(path)
    except FileNotFoundError as error:
        raise Truncated(f"{path} is not there any more") from error


def _find_giant(
    view: JournalView, path: Path, beginning: bytes, position: Position, offset: int, end: int
) -> BatchHeader | None:
    """The header of a batch that is longer than what was read, if the batch is intact in this file."""
    try:
        header = decode_batch_header(beginning)
    except Malformed:
        return None
    if header.position != position or offset + header.length > end or header.length <= len(beginning):
        return None
    checksum = 0
    for piece in _pieces(view.disk, path, offset + 8, header.length - 8):
        checksum = crc32(piece, checksum)
    return header if checksum == header.checksum else None


def read_giant(view: JournalView, header: BatchHeader) -> Iterator[bytes]:
    """The bytes of a giant batch, piece by piece, from the first zone that has it."""
    for segment in view.segments:
        if segment.header.first_position <= header.position < segment.header.end:
            offset = header.position - segment.header.first_position
            for zone in view.zones:
                beginning = _read_at(view.disk, zone / segment.name, offset, BATCH_HEADER_BYTES)
                end = segment.header.size
                if _find_giant(view, zone / segment.name, beginning, header.position, offset, end) == header:
                    return _pieces(view.disk, zone / segment.name, offset, header.length)
            raise JournalDamaged(view.zones[0] / segment.name, offset, "a batch is damaged in every zone")
    raise Truncated(f"position {header.position} is not in the journal any more")


def _pieces(disk: Disk, path: Path, offset: int, length: int) -> Iterator[bytes]:
    file = _open(disk, path)
    try:
        for start in range(offset, offset + length, _PIECE_BYTES):
            yield file.read_at(start, min(_PIECE_BYTES, offset + length - start))
    finally:
        file.close()

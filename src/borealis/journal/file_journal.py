"""The file journal: durable appends to pre-written segments, one copy in each zone.

Owns the files of the journal while it lives. Promises: when `append` returns, the batch is durable in every zone; no
append fails for want of space, because space is taken (`prepare_spare`) before anything is decided. A sync that fails
is never tried again: what the disk holds then is not known, and the process must die (InvariantViolation).

Batches are written behind one another into zeros, so that a sync writes no metadata. When a segment is full, `rotate`
begins the spare one with a checkpoint.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from borealis.foundation.errors import BorealisError, InvariantViolation
from borealis.foundation.identifiers import Epoch, Position, Timestamp
from borealis.journal.disk import Disk, DiskFile
from borealis.journal.recovery import IsEnough, Recovered, Replay, Segment, recover
from borealis.journal.segments import (
    SEGMENT_HEADER_BYTES,
    SPARE_NAME,
    SegmentHeader,
    encode_segment_header,
    segment_name,
    segment_size_for,
)
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import Checkpoint, JournalRecord, RecordKind, encode_batch, encode_checkpoint

SEGMENT_BYTES_DEFAULT: Final = 64 * 2**20
# A step of preparation: small enough that a commit's sync behind it waits for milliseconds only.
_STEP_BYTES: Final = 2**20
_NO_ROOM_ERRORS: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class NoRoom(BorealisError):  # noqa: N818 - a state of the disk
    """The disk is full. Nothing has changed; it may be tried again."""


class FileJournal:
    """Open after `open`; begins its first segment by `prepare_spare` and `rotate` like every other."""

    def __init__(self, disk: Disk, zones: Sequence[Path], recovered: Recovered, segment_bytes: int) -> None:
        self._disk = disk
        self._zones = list(zones)
        self._segment_bytes = segment_bytes
        self._segments = list(recovered.segments)
        self._end = recovered.end
        self._limit = self._segments[-1].header.end if self._segments else Position(0)
        self._spare_bytes = 0
        self._files: list[DiskFile] = []
        if self._segments:
            self._files = [disk.open(zone / self._segments[-1].name) for zone in zones]

    @classmethod
    def open(
        cls,
        disk: Disk,
        zones: Sequence[Path],
        is_enough: IsEnough,
        replay_from: Callable[[Checkpoint], Replay],
        segment_bytes: int = SEGMENT_BYTES_DEFAULT,
    ) -> tuple["FileJournal", Recovered]:
        """Lock, recover and open. Raises Unavailable (another process has it), JournalDamaged, NoRoom (for repairs)."""
        try:
            for zone in zones:
                disk.make_directory(zone)
                disk.lock_directory(zone)
            recovered = recover(disk, zones, is_enough, replay_from)
            return cls(disk, zones, recovered, segment_bytes), recovered
        except OSError as error:
            disk.release_locks()
            if error.errno in _NO_ROOM_ERRORS:
                raise NoRoom(f"no room to repair a zone of the journal: {error}") from error
            raise InvariantViolation(f"the journal cannot be recovered: {error}") from error
        except BorealisError:
            disk.release_locks()
            raise

    # What is there

    @property
    def end(self) -> Position:
        """Where the next batch goes. Everything before it is durable."""
        return self._end

    @property
    def oldest(self) -> Position:
        """The first position that can still be read."""
        return self._segments[0].header.first_position if self._segments else Position(0)

    @property
    def segments(self) -> list[Segment]:
        return self._segments

    @property
    def zones(self) -> list[Path]:
        return self._zones

    @property
    def disk(self) -> Disk:
        return self._disk

    @property
    def files(self) -> Sequence[DiskFile]:
        """Of the current segment, one in each zone."""
        return self._files

    @property
    def room(self) -> int:
        """Bytes that are left in the current segment."""
        return self._limit - self._end

    def has_room(self, length: int) -> bool:
        """Whether a batch of this length fits into the current segment."""
        return self._end + length <= self._limit

    @property
    def is_spare_due(self) -> bool:
        """Whether the next segment should be prepared by now: the current one is half full."""
        return self._spare_bytes < self._segment_bytes and (self._limit - self._end) * 2 < self._segment_bytes

    def has_spare_for(self, length: int, checkpoint: Checkpoint) -> bool:
        """Whether a rotation would make room for a batch of this length."""
        return self._spare_bytes >= self.spare_bytes_for(length, checkpoint)

    def spare_bytes_for(self, length: int, checkpoint: Checkpoint) -> int:
        return segment_size_for(length, len(self._checkpoint_batch(Epoch(0), checkpoint)), self._segment_bytes)

    # Changing it

    def append(self, batch: Octets) -> None:
        """Make a batch that was encoded for `end` durable. There must be room."""
        if not self.has_room(len(batch)):
            raise InvariantViolation(f"a batch of {len(batch)} bytes was appended where it does not fit")
        offset = self._end - self._segments[-1].header.first_position
        self._write_durably(offset, batch)
        self._end = Position(self._end + len(batch))

    def note_end(self, end: Position) -> None:
        """Somebody who was given the files has appended durably up to there, within the segment."""
        if not self._end <= end <= self._limit:
            raise InvariantViolation(
                f"the journal was continued from {self._end} to {end}, its segment ends at {self._limit}"
            )
        self._end = end

    def _write_durably(self, offset: int, data: Octets) -> None:
        try:
            for file in self._files:
                file.write_at(offset, data)
                file.sync()
        except OSError as error:
            raise InvariantViolation(f"the journal cannot be written: {error}") from error

    def prepare_spare(self, size: int = 0) -> Iterator[None]:
        """Take and zero the space of the next segment, a small step at a time. Raises NoRoom.

        May run in another thread than the appends, once at a time. Bytes beyond the regular size are for one giant
        batch that follows at once: their space is taken, but they are not written in advance.
        """
        size = max(size, self._segment_bytes)
        try:
            for zone in self._zones:
                yield from self._prepare_in(zone, size)
        except OSError as error:
            if error.errno not in _NO_ROOM_ERRORS:
                raise InvariantViolation(f"a journal segment cannot be prepared: {error}") from error
            for zone in self._zones:
                self._discard_spare(zone)
            self._spare_bytes = 0
            raise NoRoom(f"no room for a journal segment of {size} bytes: {error}") from error
        self._spare_bytes = size

    def _prepare_in(self, zone: Path, size: int) -> Iterator[None]:
        path = zone / SPARE_NAME
        file = self._disk.open(path) if self._spare_bytes else self._disk.create(path)
        try:
            file.allocate(size)
            zeros = bytes(_STEP_BYTES)
            for offset in range(self._spare_bytes, self._segment_bytes, _STEP_BYTES):
                file.write_at(offset, zeros[: self._segment_bytes - offset])
                file.sync()
                yield
            file.sync()
        finally:
            file.close()

    def _discard_spare(self, zone: Path) -> None:
        if SPARE_NAME in self._disk.list_names(zone):
            self._disk.remove(zone / SPARE_NAME)

    def rotate(self, epoch: Epoch, checkpoint: Checkpoint) -> Octets:
        """Make the spare the current segment. Returns its first batch, the checkpoint, which followers get like all."""
        header = SegmentHeader(self._limit, self._spare_bytes, epoch)
        batch = self._checkpoint_batch(epoch, checkpoint)
        if not self.has_spare_for(0, checkpoint):
            raise InvariantViolation("the journal was rotated without a spare segment")
        name = segment_name(header.first_position)
        files: list[DiskFile] = []
        try:
            for zone in self._zones:
                self._disk.rename(zone / SPARE_NAME, zone / name)
                file = self._disk.open(zone / name)
                files.append(file)
                file.write_at(0, encode_segment_header(header) + bytes(batch))
                file.sync()
                self._disk.sync_directory(zone)
        except OSError as error:
            raise InvariantViolation(f"a journal segment cannot be begun: {error}") from error
        for file in self._files:
            file.close()
        self._files = files
        # A new list, not a change to the old one: readers in other threads hold on to theirs.
        self._segments = [*self._segments, Segment(header, checkpoint)]
        self._end = Position(header.first_position + SEGMENT_HEADER_BYTES + len(batch))
        self._limit = header.end
        self._spare_bytes = 0
        return batch

    def _checkpoint_batch(self, epoch: Epoch, checkpoint: Checkpoint) -> bytes:
        record = JournalRecord(
            RecordKind.CHECKPOINT,
            checkpoint.last_timestamp,
            checkpoint.catalog_version,
            encode_checkpoint(checkpoint),
        )
        return encode_batch(Position(self._limit + SEGMENT_HEADER_BYTES), epoch, [record])

    def truncate(self, below: Position, keep_after: Timestamp) -> int:
        """Remove segments that lie below a position and hold nothing after a timestamp. Returns how many."""
        removed = 0
        while len(self._segments) > 1:
            oldest, following = self._segments[0], self._segments[1]
            if oldest.header.end > below or following.checkpoint.last_timestamp > keep_after:
                break
            self._segments = self._segments[1:]
            for zone in self._zones:
                self._disk.remove(zone / oldest.name)
                # One at a time, oldest first, or a crash might leave a gap.
                self._disk.sync_directory(zone)
            removed += 1
        return removed

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []
        self._disk.release_locks()

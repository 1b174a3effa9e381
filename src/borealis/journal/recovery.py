"""Recovery: what the journal holds after any stop, from all its zones together.

Owns the judgement over segments that a crash or a bad disk left behind. Promises: everything that was ever acknowledged
is found, or recovery refuses with `JournalDamaged`, which names the file and the offset. A torn tail is cut (zeroed, so
that no remains of it can pass for a batch later); a damaged middle is never skipped. A zone that lags behind, has lost
a file or holds a damaged batch is repaired from one that does not.

Zones can disagree: one that was away while the journal went on elsewhere holds batches of a lower epoch. At each place
the highest epoch wins, and epochs never fall along the journal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from borealis.foundation.errors import BorealisError, Malformed
from borealis.foundation.identifiers import Epoch, Position
from borealis.journal.disk import Disk
from borealis.journal.segments import (
    SEGMENT_HEADER_BYTES,
    SPARE_NAME,
    Finding,
    SegmentHeader,
    decode_segment_header,
    encode_segment_header,
    examine,
    find_later_batch,
    is_zero,
    parse_segment_name,
    segment_name,
)
from borealis.wire.journal_batch import (
    BATCH_HEADER_BYTES,
    BatchHeader,
    Checkpoint,
    JournalRecord,
    RecordKind,
    decode_batch,
    decode_batch_header,
    decode_checkpoint,
    iterate_records,
)

_COPY_BYTES: Final = 2**20


class JournalDamaged(BorealisError):  # noqa: N818 - a state of the journal
    """Acknowledged transactions may be missing: the service must not run on this."""

    def __init__(self, path: Path, offset: int, what: str) -> None:
        super().__init__(f"{path}, offset {offset}: {what}")
        self.path = path
        self.offset = offset


class Segment(NamedTuple):
    """A segment that exists in every zone."""

    header: SegmentHeader
    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        return segment_name(self.header.first_position)


class Recovered(NamedTuple):
    """What a journal holds. `checkpoint` is the state before the first of the records that are to be replayed."""

    segments: list[Segment]
    end: Position
    epoch: Epoch
    checkpoint: Checkpoint | None


IsEnough = Callable[[Checkpoint, Checkpoint], bool]
"""Whether replaying from the first checkpoint, given the newest one, tells all that must be known."""

Replay = Callable[[JournalRecord], None]


class _Image:
    """One segment as it lies in one zone."""

    __slots__ = ("data", "epoch", "path", "view")

    def __init__(self, path: Path, data: bytes, epoch: Epoch) -> None:
        self.path = path
        self.data = data
        self.view = memoryview(data)
        self.epoch = epoch


def recover(
    disk: Disk, zones: Sequence[Path], is_enough: IsEnough, replay_from: Callable[[Checkpoint], Replay]
) -> Recovered:
    """Judge and repair the journal in `zones`, and replay its records.

    `replay_from` is called once with the checkpoint to begin at, and gives the function that takes the records.
    """
    for zone in zones:
        if SPARE_NAME in disk.list_names(zone):
            disk.remove(zone / SPARE_NAME)  # how far its preparation had come is not known
    segments = _find_segments(disk, zones)
    if not segments:
        return Recovered([], Position(0), Epoch(0), None)
    start = len(segments) - 1
    while start and not is_enough(segments[start].checkpoint, segments[-1].checkpoint):
        start -= 1
    replay = replay_from(segments[start].checkpoint)
    end, epoch = segments[start].header.first_position, segments[start].header.epoch
    for number in range(start, len(segments)):
        following = segments[number + 1].checkpoint if number + 1 < len(segments) else None
        end, epoch = _recover_segment(disk, zones, segments[number], epoch, following, replay)
    for zone in zones:
        disk.sync_directory(zone)  # of a rotation that was cut off behind its renaming
    return Recovered(segments, end, epoch, segments[start].checkpoint)


# The chain of segments


def _find_segments(disk: Disk, zones: Sequence[Path]) -> list[Segment]:
    """The chain of segments, complete in every zone. Files that a rotation had only begun are removed."""
    positions = sorted(
        {
            position
            for zone in zones
            for name in disk.list_names(zone)
            if (position := parse_segment_name(name)) is not None
        }
    )
    segments: list[Segment] = []
    for position in positions:
        found = _find_segment(disk, zones, position, segments[-1].header.epoch if segments else Epoch(0))
        if found is None:
            is_last = position == positions[-1]
            if not is_last:
                raise JournalDamaged(zones[0] / segment_name(position), 0, "the segment has lost its beginning")
            _remove_everywhere(disk, zones, position)
        else:
            if segments and segments[-1].header.end != position:
                path = zones[0] / segment_name(segments[-1].header.end)
                raise JournalDamaged(path, 0, f"the segment is missing; the next one begins at position {position}")
            segments.append(found)
    return segments


def _find_segment(disk: Disk, zones: Sequence[Path], position: Position, least_epoch: Epoch) -> Segment | None:
    """The segment in the zone with the highest epoch, after the others were made whole. None if it was never begun."""
    found: list[Segment | None] = [_read_beginning(disk, zone / segment_name(position), least_epoch) for zone in zones]
    whole = [segment for segment in found if segment is not None]
    if not whole:
        for zone in zones:
            _check_never_begun(disk, zone / segment_name(position), position, least_epoch)
        return None
    best = max(whole, key=lambda segment: segment.header.epoch)
    source = zones[found.index(best)] / best.name
    for zone, segment in zip(zones, found, strict=True):
        is_sound = segment is not None and segment.header == best.header
        if not is_sound and not _mend_beginning(disk, source, zone / best.name, best.header):
            _copy(disk, source, zone)
    return best


def _read_beginning(disk: Disk, path: Path, least_epoch: Epoch) -> Segment | None:
    """Header and checkpoint, or None if they are not both there."""
    if path.name not in disk.list_names(path.parent):
        return None
    file = disk.open(path)
    try:
        header = decode_segment_header(file.read_at(0, SEGMENT_HEADER_BYTES))
        if header.first_position != parse_segment_name(path.name) or header.epoch < least_epoch:
            return None
        if file.size() < header.size:
            return None
        beginning = decode_batch_header(file.read_at(SEGMENT_HEADER_BYTES, BATCH_HEADER_BYTES))
        batch = decode_batch(file.read_at(SEGMENT_HEADER_BYTES, beginning.length))
        record = batch.records[0]
        if record.kind != RecordKind.CHECKPOINT or beginning.position != header.first_position + SEGMENT_HEADER_BYTES:
            return None
        return Segment(header, decode_checkpoint(record.payload))
    except Malformed:
        return None
    finally:
        file.close()


def _mend_beginning(disk: Disk, source: Path, damaged: Path, header: SegmentHeader) -> bool:
    """Write header and checkpoint anew where only they are damaged. False if the file is missing or another's.

    What else is in it stays: it may be more than the source has.
    """
    if damaged.name not in disk.list_names(damaged.parent):
        return False
    reading, writing = disk.open(source), disk.open(damaged)
    try:
        if writing.size() < header.size:
            return False
        with suppress(Malformed):
            if decode_segment_header(writing.read_at(0, SEGMENT_HEADER_BYTES)) != header:
                return False
        checkpoint = decode_batch_header(reading.read_at(SEGMENT_HEADER_BYTES, BATCH_HEADER_BYTES))
        writing.write_at(0, reading.read_at(0, SEGMENT_HEADER_BYTES + checkpoint.length))
        writing.sync()
        return True
    finally:
        reading.close()
        writing.close()


def _check_never_begun(disk: Disk, path: Path, position: Position, least_epoch: Epoch) -> None:
    if path.name not in disk.list_names(path.parent):
        return
    file = disk.open(path)
    try:
        data = file.read_at(0, file.size())
    finally:
        file.close()
    if find_later_batch(memoryview(data), position, SEGMENT_HEADER_BYTES, least_epoch) is not None:
        raise JournalDamaged(path, 0, "the beginning of the segment is damaged")


def _remove_everywhere(disk: Disk, zones: Sequence[Path], position: Position) -> None:
    for zone in zones:
        if segment_name(position) in disk.list_names(zone):
            disk.remove(zone / segment_name(position))
            disk.sync_directory(zone)


def _copy(disk: Disk, source: Path, zone: Path) -> None:
    """Put a durable copy of a segment into a zone, under its name only when it is complete."""
    reading, writing = disk.open(source), disk.create(zone / SPARE_NAME)
    try:
        size = reading.size()
        writing.allocate(size)
        for offset in range(0, size, _COPY_BYTES):
            writing.write_at(offset, reading.read_at(offset, _COPY_BYTES))
        writing.sync()
    finally:
        reading.close()
        writing.close()
    disk.rename(zone / SPARE_NAME, zone / source.name)
    disk.sync_directory(zone)


# The batches of one segment


def _recover_segment(
    disk: Disk,
    zones: Sequence[Path],
    segment: Segment,
    epoch: Epoch,
    following: Checkpoint | None,
    replay: Replay,
) -> tuple[Position, Epoch]:
    """Replay a segment and make it equal in all zones. Returns the position behind its last batch, and its epoch."""
    first_position = segment.header.first_position
    images = [_read_image(disk, zone / segment.name, segment.header) for zone in zones]
    writes: list[list[tuple[int, bytes]]] = [[] for _ in zones]
    offset = SEGMENT_HEADER_BYTES
    last = (0, b"")
    for source, header, findings in _choose_batches(images, first_position, epoch):
        offset, epoch = header.position - first_position, header.epoch
        data = images[source].data
        for record in _records_of(header, images[source], offset):
            replay(record)
        last = (offset, data[offset : offset + header.length])
        for number, finding in enumerate(findings):
            if finding.header != header:
                writes[number].append(last)
        offset += header.length
    for image, its_writes in zip(images, writes, strict=True):
        is_tail = following is None or following.previous_end == first_position + offset
        if not is_tail or find_later_batch(image.view, first_position, offset, epoch) is not None:
            raise JournalDamaged(image.path, offset, "a batch is damaged, and others were written after it")
        if not is_zero(image.view, offset):
            its_writes.append((offset, bytes(segment.header.size - offset)))
        if following is None:
            # The last batch may be in the cache only, because its sync never came or failed, and then even a second
            # sync would not write it: it is written again before anybody is told that it has committed.
            its_writes += [(0, encode_segment_header(segment.header)), last]
    _write_repairs(disk, images, writes)
    return Position(first_position + offset), epoch


def _read_image(disk: Disk, path: Path, header: SegmentHeader) -> _Image:
    file = disk.open(path)
    try:
        return _Image(path, file.read_at(0, header.size), header.epoch)
    finally:
        file.close()


def _choose_batches(
    images: Sequence[_Image], first_position: Position, epoch: Epoch
) -> Iterator[tuple[int, BatchHeader, list[Finding]]]:
    """(number of the zone to take it from, header, what each zone has there) for each batch in a row."""
    offset = SEGMENT_HEADER_BYTES
    while True:
        findings = [examine(image.view, first_position, offset, epoch) for image in images]
        source = max(range(len(images)), key=lambda number: _epoch_of(findings[number]))
        header = findings[source].header
        if header is None:
            return
        yield source, header, findings
        offset += header.length
        epoch = header.epoch


def _epoch_of(finding: Finding) -> int:
    return finding.header.epoch if finding.header is not None else -1


def _records_of(header: BatchHeader, image: _Image, offset: int) -> Iterator[JournalRecord]:
    try:
        yield from iterate_records(header, image.data, offset)
    except Malformed as error:
        raise JournalDamaged(image.path, offset, error.text) from error


def _write_repairs(disk: Disk, images: Sequence[_Image], writes: Sequence[list[tuple[int, bytes]]]) -> None:
    for image, its_writes in zip(images, writes, strict=True):
        if its_writes:
            file = disk.open(image.path)
            try:
                for offset, data in its_writes:
                    file.write_at(offset, data)
                file.sync()
            finally:
                file.close()

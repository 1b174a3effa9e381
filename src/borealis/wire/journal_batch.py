"""Journal batches: the unit that is appended, synced, recovered and sent to storage (docs/formats.md, "Journal").

Owns the layout of a batch and of the records of the service's own in it. Promises: a decoded batch is whole, by its
checksum, and every length in it has been checked; nothing of what is inside a transaction record has been looked at
(that is `transaction_record`).
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple
from zlib import crc32

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import (
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
)
from borealis.wire.frames import Octets

BATCH_MAGIC: Final = 0x424A5242
BATCH_HEADER: Final = struct.Struct("<IIIIQQQ")
BATCH_HEADER_BYTES: Final = BATCH_HEADER.size
RECORD_HEADER: Final = struct.Struct("<IIQQ")
RECORD_HEADER_BYTES: Final = RECORD_HEADER.size
ALIGNMENT: Final = 8

_MAGIC_AND_CHECKSUM: Final = struct.Struct("<II")
_CHECKSUMMED_HEADER: Final = struct.Struct("<IIQQQ")
_RESERVATION: Final = struct.Struct("<IIq")
_CHECKPOINT: Final = struct.Struct("<QQQQQII")
_PADDING: Final = tuple(bytes(-length % ALIGNMENT) for length in range(ALIGNMENT))


class RecordKind(IntEnum):
    TRANSACTION = 1
    EPOCH = 2
    SEQUENCES = 3
    CHECKPOINT = 4


class JournalRecord(NamedTuple):
    """One record of a batch; `timestamp` never falls along the journal."""

    kind: int
    timestamp: Timestamp
    catalog_version: CatalogVersion
    payload: Octets


class BatchHeader(NamedTuple):
    checksum: int
    length: int
    transactions: int
    position: Position
    epoch: Epoch
    last_timestamp: Timestamp

    @property
    def end(self) -> Position:
        """Position behind the batch."""
        return Position(self.position + self.length)


class Batch(NamedTuple):
    header: BatchHeader
    records: list[JournalRecord]


def padded_length(length: int) -> int:
    return length + -length % ALIGNMENT


def batch_length(payload_lengths: Sequence[int]) -> int:
    """Bytes of a batch whose records have payloads of these lengths."""
    return BATCH_HEADER_BYTES + sum(RECORD_HEADER_BYTES + length + -length % ALIGNMENT for length in payload_lengths)


def encode_batch(position: Position, epoch: Epoch, records: Sequence[JournalRecord]) -> bytes:
    """A batch for this place in the journal. Its last timestamp is that of the last record; there is at least one."""
    parts: list[Octets] = [b""]
    length = BATCH_HEADER_BYTES
    for kind, timestamp, catalog_version, payload in records:
        size = len(payload)
        parts += (RECORD_HEADER.pack(size, kind, timestamp, catalog_version), payload, _PADDING[size % ALIGNMENT])
        length += RECORD_HEADER_BYTES + size + -size % ALIGNMENT
    parts[0] = _CHECKSUMMED_HEADER.pack(length, len(records), position, epoch, records[-1].timestamp)
    body = b"".join(parts)
    return b"".join((_MAGIC_AND_CHECKSUM.pack(BATCH_MAGIC, crc32(body)), body))


def decode_batch_header(data: Octets, offset: int = 0) -> BatchHeader:
    """The header at `offset`. Raises Malformed if no header can be there. The checksum is not looked at."""
    if len(data) - offset < BATCH_HEADER_BYTES:
        raise Malformed("a batch header is cut off")
    magic, *fields = BATCH_HEADER.unpack_from(data, offset)
    header = BatchHeader._make(fields)
    if magic != BATCH_MAGIC:
        raise Malformed("a batch does not begin with its magic number")
    if header.length % ALIGNMENT or header.length < BATCH_HEADER_BYTES + RECORD_HEADER_BYTES:
        raise Malformed(f"a batch cannot be {header.length} bytes long")
    if header.transactions * RECORD_HEADER_BYTES > header.length - BATCH_HEADER_BYTES or not header.transactions:
        raise Malformed(f"a batch of {header.length} bytes cannot hold {header.transactions} records")
    return header


def is_batch_intact(header: BatchHeader, data: Octets, offset: int = 0) -> bool:
    """Whether the whole batch lies in `data` at `offset`, as its checksum says."""
    end = offset + header.length
    return end <= len(data) and crc32(memoryview(data)[offset + 8 : end]) == header.checksum


def iterate_records(header: BatchHeader, data: Octets, offset: int = 0) -> Iterator[JournalRecord]:
    """The records of a batch, their payloads as views into `data`. Raises Malformed where a length does not fit."""
    view = memoryview(data)
    at, end = offset + BATCH_HEADER_BYTES, offset + header.length
    for _ in range(header.transactions):
        if end - at < RECORD_HEADER_BYTES:
            raise Malformed("the records of a batch do not fit into it")
        size, kind, timestamp, catalog_version = RECORD_HEADER.unpack_from(data, at)
        at += RECORD_HEADER_BYTES
        if end - at < size + -size % ALIGNMENT:
            raise Malformed("a record reaches beyond its batch")
        yield JournalRecord(kind, timestamp, catalog_version, view[at : at + size])
        at += size + -size % ALIGNMENT
    if at != end:
        raise Malformed("a batch is longer than its records")


def decode_batch(data: Octets) -> Batch:
    """A batch that is exactly `data`, checked in every respect but the insides of its transactions."""
    header = decode_batch_header(data)
    if header.length != len(data):
        raise Malformed(f"a batch of {header.length} bytes came as {len(data)}")
    if not is_batch_intact(header, data):
        raise Malformed("the checksum of a batch is wrong")
    records = list(iterate_records(header, data))
    if records[-1].timestamp != header.last_timestamp:
        raise Malformed("the last timestamp of a batch is not that of its last record")
    return Batch(header, records)


class SequenceReservation(NamedTuple):
    """No value up to `reserved_up_to` (in the direction of the sequence) may be handed out again after a restart.

    With `is_called` false the value itself is still free: the start of a sequence, or setval(…, false).
    """

    relfilenode: Relfilenode
    is_called: bool
    reserved_up_to: int


def encode_reservations(reservations: Sequence[SequenceReservation]) -> bytes:
    return b"".join(
        [_RESERVATION.pack(relfilenode, is_called, value) for relfilenode, is_called, value in reservations]
    )


def decode_reservations(data: Octets) -> list[SequenceReservation]:
    if len(data) % _RESERVATION.size:
        raise Malformed("a record of sequence reservations has an odd length")
    reservations = []
    for relfilenode, flags, value in _RESERVATION.iter_unpack(data):
        if flags > 1 or not relfilenode:
            raise Malformed("a sequence reservation is out of range")
        reservations.append(SequenceReservation(relfilenode, bool(flags), value))
    return reservations


class Checkpoint(NamedTuple):
    """What the service must know that may stand only in segments before this one, which can be removed then."""

    previous_end: Position
    """Position behind the last batch of the segment before, 0 if there is none."""
    last_timestamp: Timestamp
    catalog_version: CatalogVersion
    schema_version: SchemaVersion
    transactions: int
    """Transactions in the journal before this record, since its beginning."""
    reservations: list[SequenceReservation]


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    *fields, reservations = checkpoint
    return _CHECKPOINT.pack(*fields, len(reservations), 0) + encode_reservations(reservations)


def decode_checkpoint(data: Octets) -> Checkpoint:
    if len(data) < _CHECKPOINT.size:
        raise Malformed("a checkpoint record is cut off")
    previous_end, last_timestamp, catalog, schema, transactions, count, zero = _CHECKPOINT.unpack_from(data)
    reservations = decode_reservations(memoryview(data)[_CHECKPOINT.size :])
    if len(reservations) != count or zero:
        raise Malformed("a checkpoint record does not hold what it announces")
    return Checkpoint(previous_end, last_timestamp, catalog, schema, transactions, reservations)

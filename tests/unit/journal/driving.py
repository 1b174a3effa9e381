"""A journal under test: on the local disk or a virtual one, with small segments and records that are easy to tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from borealis.foundation.identifiers import CatalogVersion, Epoch, Position, SchemaVersion, Timestamp
from borealis.journal.disk import Disk, LocalDisk
from borealis.journal.file_journal import FileJournal
from borealis.journal.reading import JournalView, read_batches, read_giant
from borealis.wire.journal_batch import (
    Checkpoint,
    JournalRecord,
    RecordKind,
    decode_batch,
    decode_batch_header,
    encode_batch,
)

SEGMENT_BYTES = 4096


class Opened:
    """A journal, and the payloads of the transactions that its recovery replayed."""

    def __init__(
        self,
        zones: Sequence[Path],
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        replay_all: bool = True,
    ) -> None:
        self.replayed: list[bytes] = []
        self.count = 0
        self.journal, self.recovered = FileJournal.open(
            disk or LocalDisk(), zones, lambda _candidate, _newest: not replay_all, self._replay_from, segment_bytes
        )
        self.epoch = Epoch(((self.recovered.epoch >> 32) + 1) << 32)

    def _replay_from(self, checkpoint: Checkpoint) -> object:
        self.count = checkpoint.transactions
        return self._replay

    def _replay(self, record: JournalRecord) -> None:
        if record.kind == RecordKind.TRANSACTION:
            self.replayed.append(bytes(record.payload))
            self.count += 1

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.journal.end, Timestamp(self.count), CatalogVersion(0), SchemaVersion(0), self.count, [])

    def append(self, payload: bytes) -> None:
        journal = self.journal
        record = JournalRecord(RecordKind.TRANSACTION, Timestamp(self.count + 1), CatalogVersion(0), payload)
        length = len(encode_batch(Position(0), self.epoch, [record]))
        if not journal.has_room(length):
            if not journal.has_spare_for(length, self.checkpoint()):
                for _ in journal.prepare_spare(journal.spare_bytes_for(length, self.checkpoint())):
                    pass
            journal.rotate(self.epoch, self.checkpoint())
        journal.append(encode_batch(journal.end, self.epoch, [record]))
        self.count += 1

    def view(self) -> JournalView:
        journal = self.journal
        return JournalView(journal.disk, journal.zones, journal.segments, journal.end)

    def read_all(self, position: int = 0) -> list[bytes]:
        """Payloads of all transactions from a position on, as a follower gets them."""
        payloads: list[bytes] = []
        at = Position(position)
        while (found := read_batches(self.view(), at)) is not None:
            data = b"".join(read_giant(self.view(), found.giant)) if found.giant is not None else found.data
            offset = 0
            while offset < len(data):
                header = decode_batch_header(data, offset)
                batch = decode_batch(data[offset : offset + header.length])
                payloads += [bytes(record.payload) for record in batch.records if record.kind == RecordKind.TRANSACTION]
                offset += header.length
            at = found.end
        return payloads

    def close(self) -> None:
        self.journal.close()


def payload(number: int, length: int = 100) -> bytes:
    return number.to_bytes(8, "little") + b"p" * (length - 8)

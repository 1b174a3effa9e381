"""A transaction service as storage sees it: a real socket, the production codecs, batches made by the tests."""

import socket
import threading
from pathlib import Path
from random import Random

from borealis.foundation.identifiers import CatalogVersion, Epoch, Position, SchemaVersion, Timestamp, TransactionId
from borealis.wire.frames import FrameReader, encode_frame
from borealis.wire.journal_batch import Checkpoint, JournalRecord, RecordKind, encode_batch, encode_checkpoint
from borealis.wire.journal_messages import (
    FOLLOWER_LIMITS,
    Applied,
    JournalFrame,
    decode_applied,
    decode_position,
    encode_position,
)
from borealis.wire.transaction_record import encode_transaction

Write = tuple[int, bytes, bytes]


def row(number: int, relation: int = 7) -> bytes:
    """Key of a row."""
    return b"\x10" + relation.to_bytes(4, "big") + b"\0\0\0\x09" + number.to_bytes(8, "big")


class Journal:
    """Batches in order, as a service would have them on its disk."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bytes]] = []
        self.end = 0
        self.start = 0
        self.timestamp = 1_000
        self.catalog_version = 0
        self._random = Random(1)
        self.next_segment()

    def next_segment(self) -> None:
        """Go on in a new segment: positions leap over its header, and its first record says from where."""
        checkpoint = Checkpoint(
            Position(self.end), Timestamp(self.timestamp), CatalogVersion(0), SchemaVersion(0), 0, []
        )
        position = (self.end + 4095) // 4096 * 4096 + 64
        record = JournalRecord(
            RecordKind.CHECKPOINT,
            Timestamp(self.timestamp),
            CatalogVersion(self.catalog_version),
            encode_checkpoint(checkpoint),
        )
        self._append(position, [record])

    def drop_first(self, batches: int) -> None:
        """Truncate: the journal begins later from now on."""
        del self.batches[:batches]
        self.start = self.batches[0][0]

    def append(self, *transactions: bytes, timestamp_step: int = 10) -> int:
        """One batch of transaction records; returns its last timestamp."""
        records = []
        for record in transactions:
            self.timestamp += timestamp_step
            records.append(self._record(record))
        self._append(self.end, records)
        return self.timestamp

    def write(self, *writes: Write, **rest: object) -> int:
        """One batch with one transaction."""
        return self.append(self.transaction(*writes, **rest))

    def transaction(self, *writes: Write, **rest: object) -> bytes:
        return encode_transaction(TransactionId(self._random.randbytes(16)), Timestamp(1), writes=writes, **rest)

    def _append(self, position: int, records: list[JournalRecord]) -> None:
        batch = encode_batch(Position(position), Epoch(1), records)
        self.batches.append((position, batch))
        self.end = position + len(batch)

    def _record(self, record: bytes) -> JournalRecord:
        if int.from_bytes(record[48:52], "little"):
            self.catalog_version += 1
        return JournalRecord(
            RecordKind.TRANSACTION, Timestamp(self.timestamp), CatalogVersion(self.catalog_version), record
        )


class JournalPeer:
    """Serves one journal to one follower at a time. `wait` methods block until the follower has said something."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path = path
        self.journal = journal
        self.applied = Applied(Position(0), Timestamp(0))
        self.followed: list[int] = []
        self.snapshots: list[int] = []
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._connection: socket.socket | None = None
        self._sent = 0
        self._is_closed = False
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def send_new(self) -> None:
        """Send what the journal has beyond what was sent on this connection, if somebody follows."""
        # One sender at a time: the test and the thread that has received a FOLLOW both come here.
        with self._sending:
            with self._changed:
                connection = self._connection
                batches = self.journal.batches[self._sent :]
                self._sent += len(batches)
            if connection is None:
                return
            try:
                connection.sendall(b"".join(encode_frame(JournalFrame.BATCH, 0, batch) for _, batch in batches))
            except OSError:
                self._forget(connection)

    def send_new_aside(self) -> None:
        """The same for a follower that may stop to read."""
        threading.Thread(target=self.send_new, daemon=True).start()

    def disconnect(self) -> None:
        with self._changed:
            connection = self._connection
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
            self._forget(connection)

    def wait_followed(self, times: int = 1, timeout: float = 60) -> None:
        self._wait(lambda: len(self.followed) >= times, timeout, f"{times} FOLLOW")

    def wait_applied(self, timestamp: int, timeout: float = 120) -> None:
        self._wait(lambda: self.applied.timestamp >= timestamp, timeout, f"APPLIED {timestamp}")

    def wait_snapshot(self, count: int = 1, timeout: float = 120) -> None:
        self._wait(lambda: len(self.snapshots) >= count, timeout, f"{count} SNAPSHOT")

    def close(self) -> None:
        self._is_closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _wait(self, condition: object, timeout: float, what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout), f"storage never sent {what}"

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        reader = FrameReader(FOLLOWER_LIMITS)
        while True:
            try:
                data = connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._forget(connection)
                connection.close()
                return
            for frame in reader.feed(data):
                self._handle(connection, frame.type, bytes(frame.payload))

    def _handle(self, connection: socket.socket, frame_type: int, payload: bytes) -> None:
        with self._changed:
            if frame_type == JournalFrame.FOLLOW:
                self._follow(connection, decode_position(payload))
            elif frame_type == JournalFrame.APPLIED:
                self.applied = decode_applied(payload)
            else:
                self.snapshots.append(decode_position(payload))
            self._changed.notify_all()
        if frame_type == JournalFrame.FOLLOW:
            self.send_new()

    def _follow(self, connection: socket.socket, position: int) -> None:
        self.followed.append(position)
        if position < self.journal.start:
            connection.sendall(encode_frame(JournalFrame.GONE, 0, encode_position(Position(self.journal.start))))
            return
        self._connection = connection
        self._sent = sum(1 for start, _ in self.journal.batches if start < position)

    def _forget(self, connection: socket.socket) -> None:
        with self._changed:
            if self._connection is connection:
                self._connection = None

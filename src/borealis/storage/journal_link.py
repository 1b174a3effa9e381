"""The connection to the transaction service's journal socket.

Owns the socket, the cutting of its stream into frames and what could not be sent yet. Knows nothing of what is in a
batch. Never blocks: the server waits on `fileno` and calls `receive`.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from borealis.foundation.errors import InvariantViolation, Rejected, Unavailable
from borealis.foundation.identifiers import Position
from borealis.storage.apply import Progress
from borealis.wire.frames import Frame, FrameReader, encode_frame
from borealis.wire.journal_messages import Applied, JournalFrame, encode_applied, encode_position

_RECEIVE_BYTES_MIN: Final = 1 << 16
_ERROR_BYTES_MAX: Final = 1 << 16


class LinkLost(Unavailable):
    """The service closed the connection or went away."""


class JournalLink:
    """One connection; made anew after each loss."""

    def __init__(self, path: Path, receive_bytes: int, batch_bytes_max: int) -> None:
        """Connect. Raises LinkLost when nobody listens."""
        self._receive_bytes_max = receive_bytes
        self._receive_bytes = _RECEIVE_BYTES_MIN
        self._reader = FrameReader(
            {JournalFrame.BATCH: batch_bytes_max, JournalFrame.GONE: 8, JournalFrame.ERROR: _ERROR_BYTES_MAX}
        )
        self._unsent = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise LinkLost(f"{path}: {error.strerror}") from error

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def follow(self, position: Position) -> None:
        self._send(JournalFrame.FOLLOW, encode_position(position))

    def report_applied(self, progress: Progress) -> None:
        self._send(JournalFrame.APPLIED, encode_applied(Applied(progress.position, progress.timestamp)))

    def report_snapshot(self, position: Position) -> None:
        self._send(JournalFrame.SNAPSHOT, encode_position(position))

    def flush(self) -> None:
        """Send on what the socket did not take. Raises LinkLost."""
        if not self._unsent:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkLost(f"the journal connection was lost: {error.strerror}") from error
        self._unsent = self._unsent[sent:]

    def receive(self) -> Iterator[list[Frame]]:
        """What has arrived, one read of the socket at a time, until nothing is left. Raises LinkLost."""
        while True:
            try:
                data = self._socket.recv(self._receive_bytes)
            except BlockingIOError:
                return
            except OSError as error:
                raise LinkLost(f"the journal connection was lost: {error.strerror}") from error
            if not data:
                raise LinkLost("the transaction service closed the journal connection")
            try:
                frames = self._reader.feed(data)
            except Rejected as error:
                raise InvariantViolation(f"the transaction service broke the journal protocol: {error.text}") from error
            is_full = len(data) == self._receive_bytes
            # A large buffer costs more to allocate than a small commit costs to receive.
            self._receive_bytes = self._receive_bytes_max if is_full else _RECEIVE_BYTES_MIN
            if frames:
                yield frames
            if not is_full:
                return

    def close(self) -> None:
        self._socket.close()

    def _send(self, frame_type: JournalFrame, payload: bytes) -> None:
        self._unsent += encode_frame(frame_type, 0, payload)
        self.flush()

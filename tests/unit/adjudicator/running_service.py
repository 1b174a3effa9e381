"""A transaction service as a real process, and the two kinds of clients it has, over real sockets."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from borealis.foundation.identifiers import Position, SchemaVersion, Timestamp, TransactionId
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.wire.commit_messages import (
    Answer,
    CommitFrame,
    Hello,
    HelloAnswer,
    Refused,
    decode_answer,
    decode_refusal,
    encode_hello,
)
from borealis.wire.frames import Frame, FrameReader, encode_frame
from borealis.wire.journal_batch import Batch, decode_batch
from borealis.wire.journal_messages import (
    Applied,
    JournalFrame,
    encode_applied,
    encode_position,
)
from borealis.wire.transaction_record import encode_transaction

PATIENCE_SECONDS = 60
_ANSWER_LIMITS = {int(frame): 2**17 for frame in CommitFrame if frame > 64}
_JOURNAL_LIMITS = {JournalFrame.BATCH: 2**31, JournalFrame.GONE: 8, JournalFrame.ERROR: 2**17}


class RunningService:
    """One data directory; the process can be killed and started again."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        # Paths of sockets are short.
        self.data = Path(tempfile.mkdtemp(prefix="txn-"))
        self.run = self.data / "run"
        self.run.mkdir()
        self.log = self.data / "log"
        self.process: subprocess.Popen[str] | None = None
        self.sockets: list[socket.socket] = []

    def start(self) -> RunningService:
        self.process = self.launch()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", f"{line!r}: {self.log.read_text()}"
        return self

    def launch(self) -> subprocess.Popen[str]:
        """A process that may not become ready."""
        command = [sys.executable, "-m", "borealis.adjudicator", "--data", str(self.data), "--run", str(self.run)]
        with self.log.open("a") as log:
            return subprocess.Popen(
                [*command, "--segment-mib", "1", *self._arguments], stdout=subprocess.PIPE, stderr=log, text=True
            )

    def kill(self) -> None:
        self._end(kill=True)

    def terminate(self) -> int:
        return self._end(kill=False)

    def _end(self, kill: bool) -> int:
        process = self.process
        assert process is not None
        process.kill() if kill else process.terminate()
        code = process.wait(PATIENCE_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
        self.process = None
        return code

    def disconnect(self) -> None:
        for each in self.sockets:
            each.close()
        self.sockets.clear()

    def destroy(self) -> None:
        if self.process is not None:
            self.kill()
        self.disconnect()
        shutil.rmtree(self.data)

    def page(self, word: TransactionsWord) -> int:
        with SharedPage.watch(self.run / "transactions.page", TRANSACTIONS_MAGIC) as page:
            return page.load(word)

    @property
    def acknowledged(self) -> Timestamp:
        return Timestamp(self.page(TransactionsWord.ACKNOWLEDGED))


class Connection:
    """Frames to the service and back."""

    def __init__(self, service: RunningService, socket_name: str, limits: Mapping[int, int]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(str(service.run / socket_name))
        service.sockets.append(self._socket)
        self._reader = FrameReader(limits)
        self._frames: list[Frame] = []

    def post_raw(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer, or the end, is still to be read
            self._socket.sendall(data)

    @property
    def unread_bytes(self) -> int:
        """What was posted and has not been taken from the socket."""
        return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def await_frame(self) -> Frame | None:
        """The next frame; None when the service has closed the connection."""
        while not self._frames:
            try:
                data = self._socket.recv(2**20)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def finish(self) -> None:
        """There is nothing more to send."""
        with suppress(OSError):  # the service may have been faster
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


class Client(Connection):
    """A query processor's connection."""

    def __init__(self, service: RunningService, greets: bool = True) -> None:
        self._service = service
        super().__init__(service, "commit.sock", _ANSWER_LIMITS)
        self._number = 0
        if greets:
            self.greeting = self.ask(CommitFrame.HELLO, encode_hello(Hello(1, 1)))
            assert isinstance(self.greeting, HelloAnswer)

    def ask(self, frame_type: int, payload: bytes) -> Answer:
        self.post(frame_type, payload)
        return self.await_answer()

    def post(self, frame_type: int, payload: bytes) -> None:
        self._number += 1
        self.post_raw(encode_frame(frame_type, self._number, payload))

    def await_answer(self) -> Answer:
        frame = self.await_frame()
        assert frame is not None, "the connection was closed"
        assert frame.request == self._number
        return decode_refusal(frame.payload) if frame.type == CommitFrame.ERROR else decode_answer(*frame[::2])

    def commit(self, key: bytes, value: bytes = b"v", read: int | None = None, operation: int = 1) -> Answer:
        return self.ask(CommitFrame.COMMIT, self.record(key, value, read, operation))

    def record(self, key: bytes, value: bytes = b"v", read: int | None = None, operation: int = 1) -> bytes:
        return encode_transaction(
            TransactionId(os.urandom(16)),
            Timestamp(self._service.acknowledged if read is None else read),
            SchemaVersion(self._service.page(TransactionsWord.SCHEMA_VERSION)),
            writes=[(operation, b"\x10\0\0\0\1" + key, value)],
        )


class FollowingClient(Connection):
    """A storage process's connection."""

    def __init__(self, service: RunningService, position: int | None = 0) -> None:
        super().__init__(service, "journal.sock", _JOURNAL_LIMITS)
        if position is not None:
            self.follow(position)

    def follow(self, position: int) -> None:
        self.post(JournalFrame.FOLLOW, encode_position(Position(position)))

    def post(self, frame_type: int, payload: bytes) -> None:
        self.post_raw(encode_frame(frame_type, 0, payload))

    def report_applied(self, position: int, timestamp: int) -> None:
        self.post(JournalFrame.APPLIED, encode_applied(Applied(Position(position), Timestamp(timestamp))))

    def report_snapshot(self, position: int) -> None:
        self.post(JournalFrame.SNAPSHOT, encode_position(Position(position)))

    def await_batch(self) -> Batch:
        frame = self.await_frame()
        assert frame is not None, "the connection was closed"
        assert frame.type == JournalFrame.BATCH, bytes(frame.payload)
        return decode_batch(frame.payload)

    def await_timestamp(self, timestamp: int) -> list[Batch]:
        """Batches up to the one that reaches a timestamp."""
        batches = [self.await_batch()]
        while batches[-1].header.last_timestamp < timestamp:
            batches.append(self.await_batch())
        return batches


def refused(answer: Answer) -> Refused:
    assert isinstance(answer, Refused), answer
    return answer

"""A faulty wire between the backends and the transaction service, at the level of frames.

Owns the name `commit.sock` of a run directory while it is open: backends that connect meet the proxy, which connects
to the real service. Requests and answers pass unchanged, except those that a test has planned a fault for. Every
fault is exact: it hits one frame, and the test can wait until it has.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import Counter
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.waiting import wait_for

FRAME_HEADER = struct.Struct("<IBBHQ")
HELLO, COMMIT, OUTCOME = 1, 2, 3
# Where a transaction record says how many writes it has.
WRITES, WRITES_OFFSET = struct.Struct("<I"), 40
CUT_BYTES = 100


class Fault(Enum):
    """What happens to one request."""

    NONE = auto()
    LOSE_REQUEST = auto()
    """The connection ends before the service has seen the request."""
    CUT_REQUEST = auto()
    """The connection ends after the first bytes of the request."""
    LOSE_ANSWER = auto()
    """The service answers, and the connection ends before the answer arrives."""
    GARBLE_ANSWER = auto()
    """Another request's answer arrives."""
    CUT_ANSWER = auto()
    """The connection ends in the middle of the answer."""
    TRICKLE_ANSWER = auto()
    """The answer arrives byte by byte."""
    HOLD_REQUEST = auto()
    """The request stays in the proxy until `release`."""
    HOLD_ANSWER = auto()
    """The service answers; the answer stays in the proxy until `release`."""


class CommitProxy:
    """`plan` says what happens to the next requests of a type, in order; after them, and without, all goes well."""

    def __init__(self, run_directory: Path) -> None:
        self._public = run_directory / "commit.sock"
        self._private = run_directory / "commit-real.sock"
        self._plans: dict[int, list[Fault]] = {COMMIT: [], OUTCOME: []}
        self._lock = threading.Lock()
        self._held = threading.Event()
        self._released = threading.Event()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.requests: Counter[int] = Counter()
        """How many requests of each type have arrived."""
        self.writes: list[int] = []
        """Of each transaction record that has arrived, the number of its writes."""

    def plan(self, *faults: Fault, request: int = COMMIT) -> None:
        self._plans[request].extend(faults)

    def wait_held(self) -> None:
        """Returns when a request has reached the fault that holds it."""
        wait_for(self._held, "a request is held")

    def release(self) -> None:
        self._released.set()

    # The socket

    def __enter__(self) -> Self:
        os.rename(self._public, self._private)
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self.refuse_connections()
        if self._public.exists():  # a restarted service has taken its name back
            self._private.unlink()
        else:
            os.rename(self._private, self._public)

    def _listen(self) -> None:
        listener = self._listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.fspath(self._public))
        self._public.chmod(0o777)
        self._inode = self._public.stat().st_ino
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse_connections(self) -> None:
        """As if the service were gone: open connections end, new ones find nobody."""
        if self._listener is not None:
            if self._public.stat().st_ino == self._inode:
                self._public.unlink()
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.end_connections()

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._open:
                connection.shutdown(socket.SHUT_RDWR)

    def take_connections(self) -> None:
        self._listen()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    # One connection

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as service:
            service.connect(os.fspath(self._private))
            with self._lock:
                self._open.add(client)
            try:
                while self._pass_request(client, service):
                    pass
            except (EOFError, OSError):
                pass
            finally:
                with self._lock:
                    self._open.discard(client)

    def _pass_request(self, client: socket.socket, service: socket.socket) -> bool:
        """False: the connection has to end."""
        header = receive_exactly(client, FRAME_HEADER.size)
        size, kind, *_ = FRAME_HEADER.unpack(header)
        fault = self._next_fault(kind)
        if fault is Fault.CUT_REQUEST:
            receive_exactly(client, min(size, CUT_BYTES))
            return False
        request = header + receive_exactly(client, size)
        if kind == COMMIT:
            self.writes.append(*WRITES.unpack_from(request, FRAME_HEADER.size + WRITES_OFFSET))
        if fault is Fault.LOSE_REQUEST:
            return False
        if fault is Fault.HOLD_REQUEST:
            self._hold()
        service.sendall(request)
        answer = receive_frame(service)
        if fault is Fault.HOLD_ANSWER:
            self._hold()
        return pass_answer(client, answer, fault)

    def _next_fault(self, kind: int) -> Fault:
        with self._lock:
            self.requests[kind] += 1
            plan = self._plans.get(kind)
            return plan.pop(0) if plan else Fault.NONE

    def _hold(self) -> None:
        self._held.set()
        wait_for(self._released, "the held request is released")


def pass_answer(client: socket.socket, answer: bytes, fault: Fault) -> bool:
    if fault is Fault.LOSE_ANSWER:
        return False
    if fault is Fault.CUT_ANSWER:
        client.sendall(answer[:-1])
        return False
    if fault is Fault.GARBLE_ANSWER:
        size, kind, _, _, request = FRAME_HEADER.unpack_from(answer)
        client.sendall(FRAME_HEADER.pack(size, kind, 0, 0, request + 1) + answer[FRAME_HEADER.size :])
    elif fault is Fault.TRICKLE_ANSWER:
        for byte in answer:
            client.sendall(bytes([byte]))
    else:
        client.sendall(answer)
    return True


def receive_frame(connection: socket.socket) -> bytes:
    header = receive_exactly(connection, FRAME_HEADER.size)
    return header + receive_exactly(connection, FRAME_HEADER.unpack(header)[0])


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)

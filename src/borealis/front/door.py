"""The socket that relays come to: hand-overs with their file descriptors, and cancel requests.

Assumes that only relays can reach it (the folder and the socket are our account's), and checks everything they send.
Requests on one connection are answered one after the other, in order.
"""

from __future__ import annotations

import array
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borealis.foundation.errors import Rejected
from borealis.front.arrival import Adopt, Arrival
from borealis.front.cancelling import cancel
from borealis.front.poller import READ
from borealis.tls import cleanse
from borealis.wire.handover import (
    HandOverFrame,
    HandOverReader,
    Refusal,
    decode_cancel,
    decode_hand_over,
    encode_refused,
    encode_taken,
)

if TYPE_CHECKING:
    from borealis.front.front import Front

_BACKLOG: Final = 512
_DESCRIPTOR_BYTES: Final = array.array("i").itemsize
_ACCEPTED_AT_ONCE: Final = 64


class Door:
    """Listens on a path, which it takes over from a front that has died."""

    def __init__(self, front: Front, path: Path, adopt: Adopt) -> None:
        self._front = front
        self._path = path
        self._adopt = adopt
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        self._listener.listen(_BACKLOG)
        front.poller.add(self._listener.fileno(), self, READ)

    def ready(self, events: int) -> None:  # noqa: ARG002 - there is only one kind
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._front.log.error("cannot accept a relay's connection: %s", error)
                return
            RelayLink(self._front, connection, self._adopt)

    def close(self) -> None:
        """Nobody comes in any more; what is under way goes on."""
        self._front.poller.remove(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)


class RelayLink:
    """One connection of a relay."""

    def __init__(self, front: Front, connection: socket.socket, adopt: Adopt) -> None:
        connection.setblocking(False)
        self._front = front
        self._connection = connection
        self._adopt = adopt
        self._reader = HandOverReader()
        self._descriptors: list[int] = []
        """Came with the frame that is being read."""
        self._arrival: Arrival | None = None
        self._is_closed = False
        front.poller.add(connection.fileno(), self, READ)

    def ready(self, events: int) -> None:  # noqa: ARG002 - reading tells
        if self._arrival is not None:
            # Of a relay that keeps to the order of requests, only its end can come now.
            self._close_if_gone()
            return
        try:
            room = socket.CMSG_SPACE(2 * _DESCRIPTOR_BYTES)
            count, ancillary, flags, _ = self._connection.recvmsg_into(
                [self._reader.space()], room, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            self._close()
            return
        self._keep_descriptors(ancillary)
        if count == 0:
            self._close()
            return
        if flags & socket.MSG_CTRUNC:
            self._front.log.error("a relay sent more file descriptors than one")
            self._close()
            return
        try:
            frame = self._reader.received(count)
            if frame is not None:
                self._reader = HandOverReader()
                self._act(*frame)
        except Rejected as error:
            self._front.log.error("a relay sent a bad request: %s", error)
            self._close()

    def _keep_descriptors(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
                self._descriptors += descriptors

    def _act(self, frame_type: HandOverFrame, payload: memoryview) -> None:
        descriptors, self._descriptors = self._descriptors, []
        try:
            if frame_type == HandOverFrame.CANCEL:
                request = decode_cancel(payload)
                session = self._front.find_session(request.process_id, request.secret)
                if session is not None:
                    cancel(self._front, session)
                return
            try:
                hand_over, tls_state = decode_hand_over(payload)
            except Rejected:
                cleanse(payload)
                raise
            if len(descriptors) != 1 or not _is_stream_socket(descriptors[0]):
                cleanse(tls_state)
                self._answer(encode_refused(Refusal("08P01", "a hand-over came without its socket")))
                return
            self._arrival = Arrival(
                self._front, hand_over, tls_state, descriptors.pop(), self._adopt, self._taken, self._refused
            )
            self._arrival.start()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _taken(self) -> None:
        self._arrival = None
        self._answer(encode_taken())

    def _refused(self, refusal: Refusal) -> None:
        self._arrival = None
        self._answer(encode_refused(refusal))

    def _answer(self, frame: bytes) -> None:
        if self._is_closed:
            return
        try:
            sent = self._connection.send(frame)
        except OSError:
            self._close()
            return
        if sent < len(frame):
            # It has not read the answers that it waited for.
            self._close()

    def _close_if_gone(self) -> None:
        try:
            is_gone = not self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            is_gone = True
        if is_gone:
            self._close()
        else:
            self._front.log.error("a relay did not wait for the answer to its request")
            self._close()

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for descriptor in self._descriptors:
            with suppress(OSError):
                os.close(descriptor)
        self._descriptors = []
        self._front.poller.remove(self._connection.fileno())
        self._connection.close()
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.abandon()


def _is_stream_socket(descriptor: int) -> bool:
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        return connection.type == socket.SOCK_STREAM
    finally:
        connection.detach()

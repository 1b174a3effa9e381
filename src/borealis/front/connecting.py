"""A backend that is logging in: startup packet, what it says about itself, first ReadyForQuery."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final

from borealis.front import messages
from borealis.front.backend import Backend
from borealis.front.byte_pipe import PeerGone, connect_unix, read_some, write_some
from borealis.front.exchange import Exchange
from borealis.front.login import DATABASE, BackendKind
from borealis.front.messages import HEADER, HEADER_BYTES, ProtocolViolation
from borealis.front.poller import READ

if TYPE_CHECKING:
    from borealis.front.front import Front

_WAIT_AND_RETRY: Final = frozenset(("57P03", "53300"))
"""The server starts, recovers, or has no room for the moment."""
_LOGIN_BYTES_MAX: Final = 1 << 20


class Connecting:
    """Ends by giving the pool a backend, or by telling the front what became of it."""

    __slots__ = ("_buffer", "_exchange", "_front", "_give_up_ns", "_key", "descriptor", "kind")

    def __init__(self, front: Front, kind: BackendKind) -> None:
        self._front = front
        self.kind = kind
        self.descriptor = -1
        self._give_up_ns = front.poller.now_ns + front.settings.connect_give_up_ns
        self._buffer = b""
        self._key = (0, 0)
        self._exchange = Exchange(front.settings, front.texts, front.sets)

    def start(self) -> None:
        front = self._front
        parameters = {"user": self.kind.user, "database": DATABASE, **dict(self.kind.parameters)}
        try:
            self.descriptor = connect_unix(front.postgres_path)
            unsent = write_some(self.descriptor, messages.startup_packet(parameters))
        except (OSError, PeerGone):
            self._close()
            self._retry()
            return
        assert not unsent  # at most 10 kB, into an empty socket
        front.poller.add(self.descriptor, self, READ)

    def _retry(self) -> None:
        front = self._front
        if front.poller.now_ns >= self._give_up_ns:
            front.connect_failed(self, None)
            return
        self._buffer = b""
        front.poller.call_at(front.poller.now_ns + front.settings.connect_retry_ns, self.start)

    def ready(self, events: int) -> None:  # noqa: ARG002 - whatever it is, reading tells
        try:
            data = read_some(self.descriptor, self._front.settings.receive_bytes)
            if data is None:
                return
            self._buffer += data
            if len(self._buffer) > _LOGIN_BYTES_MAX:
                raise ProtocolViolation("a backend says too much while it logs in")
            self._read_messages()
        except PeerGone:
            self._leave_poller()
            self._retry()
        except ProtocolViolation as error:
            self._front.log.error("a backend for %s: %s", self.kind.user, error)
            self._leave_poller()
            self._front.connect_failed(self, None)

    def _read_messages(self) -> None:
        at = 0
        while len(self._buffer) - at >= HEADER_BYTES:
            kind, length = HEADER.unpack_from(self._buffer, at)
            end = at + 1 + length
            if length < 4:
                raise ProtocolViolation("the backend sent an invalid message length")
            if end > len(self._buffer):
                break
            body = self._buffer[at + HEADER_BYTES : end]
            at = end
            if self._note(kind, body):
                return
        self._buffer = self._buffer[at:]

    def _note(self, kind: int, body: bytes) -> bool:
        """Whether the login is over."""
        if kind == messages.AUTHENTICATION:
            if body[:4] != bytes(4):
                raise ProtocolViolation("Postgres asks for a password on its Unix socket")
        elif kind == messages.PARAMETER_STATUS:
            name, _, value = body.partition(b"\0")
            self._exchange.note_parameter(name, value.rstrip(b"\0"))
        elif kind == messages.KEY_DATA:
            if len(body) != 8:
                raise ProtocolViolation("the backend has a cancel key of another length")
            self._key = struct.unpack(">II", body)
        elif kind == messages.ERROR:
            self._leave_poller()
            fields = messages.read_error(body)
            if fields.get("C") in _WAIT_AND_RETRY:
                self._retry()
            else:
                self._front.connect_failed(self, fields)
            return True
        elif kind == messages.READY:
            backend = Backend(self._front, self.kind, self.descriptor, self._exchange, self._key)
            self._front.poller.replace(self.descriptor, backend)
            self._front.connected(backend)
            return True
        return False

    def _leave_poller(self) -> None:
        self._front.poller.remove(self.descriptor)
        self._close()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

"""The host's end of its control socket (docs/formats.md, "Host socket"): peers, their lines and what is sent to them.

Promises: only processes of our account or root are listened to; a peer that breaks the format, or that does not read
what it asked for, loses its connection and nothing else happens.
"""

import os
import selectors
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from borealis.foundation.errors import Malformed
from borealis.placement.messages import REQUEST_BYTES_MAX, Fields, Request, decode_request, encode_line

READ_BYTES = 65536
PEERS_MAX = 200
UNSENT_BYTES_MAX = 64 * 1024 * 1024
# struct ucred: process, user, group.
CREDENTIALS = struct.Struct("3i")


@dataclass
class Peer:
    number: int
    connection: socket.socket
    unread: bytes = b""
    unsent: bytearray = field(default_factory=bytearray)
    is_watching: bool = False


class ControlSocket:
    """`take` gets each request with the number of its peer; `send` and `tell_watchers` may be called at any time."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, take: Callable[[int, Request], None]) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()
        self._listener.setblocking(False)
        self._selector = selector
        self._selector.register(self._listener, selectors.EVENT_READ, lambda _: self._accept())
        self._take = take
        self._peers: dict[int, Peer] = {}
        self._numbers = 0

    def send(self, number: int, fields: Fields) -> None:
        """Nothing happens when the peer is gone."""
        peer = self._peers.get(number)
        if peer is not None:
            peer.unsent += encode_line(fields)
            self._flush(peer)

    def watch(self, number: int) -> None:
        """From now on the peer is told what watchers are told."""
        if number in self._peers:
            self._peers[number].is_watching = True

    def tell_watchers(self, fields: Fields) -> None:
        for peer in [peer for peer in self._peers.values() if peer.is_watching]:
            self.send(peer.number, fields)

    def close(self) -> None:
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._peers) >= PEERS_MAX or not is_trusted(connection):
            connection.close()
            return
        connection.setblocking(False)
        self._numbers += 1
        peer = Peer(self._numbers, connection)
        self._peers[peer.number] = peer
        self._selector.register(connection, selectors.EVENT_READ, lambda mask: self._serve(peer, mask))

    def _serve(self, peer: Peer, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(peer)
        if mask & selectors.EVENT_READ and peer.number in self._peers:
            self._read(peer)

    def _read(self, peer: Peer) -> None:
        try:
            chunk = peer.connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(peer)
            return
        *lines, peer.unread = (peer.unread + chunk).split(b"\n")
        try:
            if any(len(line) > REQUEST_BYTES_MAX for line in (*lines, peer.unread)):
                raise Malformed("a request is too long")
            for line in lines:
                self._take(peer.number, decode_request(line))
        except Malformed as error:
            self.send(peer.number, {"id": None, "error": "malformed", "text": error.text})
            self._drop(peer)

    def _flush(self, peer: Peer) -> None:
        try:
            while peer.unsent:
                del peer.unsent[: peer.connection.send(peer.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(peer)
            return
        if len(peer.unsent) > UNSENT_BYTES_MAX:
            self._drop(peer)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.unsent else 0)
        if self._selector.get_key(peer.connection).events != events:
            key = self._selector.get_key(peer.connection)
            self._selector.modify(peer.connection, events, key.data)

    def _drop(self, peer: Peer) -> None:
        if self._peers.pop(peer.number, None) is not None:
            self._selector.unregister(peer.connection)
            with suppress(OSError):
                peer.connection.close()


def is_trusted(connection: socket.socket) -> bool:
    """Whether a process of our account or of root is at the other end."""
    if sys.platform != "linux":
        return True  # The socket's folder can be entered by nobody else.
    _, user, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return user in (0, os.geteuid())

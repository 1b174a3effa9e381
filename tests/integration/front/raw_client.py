"""A client that can say anything: Postgres messages, right or wrong, over TLS that it does by itself."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Self

from tests.integration.front.entrance import SSL_REQUEST

TIMEOUT_S = 30


class RawClient:
    """Logged in as admin. `socket` is the TLS socket, `below` the one under it."""

    def __init__(self, port: int) -> None:
        self.below = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.below.sendall(struct.pack(">II", 8, SSL_REQUEST))
        assert self.below.recv(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.below, suppress_ragged_eofs=False)
        self._received = b""
        body = b"user\0admin\0database\0postgres\0\0"
        self.socket.sendall(struct.pack(">II", 8 + len(body), 3 << 16) + body)
        self.greeting = self.read_until(b"Z")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_message(self) -> tuple[bytes, bytes]:
        """Type and body; (b"", b"") at the orderly end of the TLS session."""
        while len(self._received) < 5 or len(self._received) < 1 + int.from_bytes(self._received[1:5]):
            try:
                data = self.socket.recv(65536)
            except ssl.SSLZeroReturnError:  # what Python calls it when our own direction has ended, too
                data = b""
            if not data:
                return b"", b""
            self._received += data
        end = 1 + int.from_bytes(self._received[1:5])
        kind, body = self._received[:1], self._received[5:end]
        self._received = self._received[end:]
        return kind, body

    def read_until(self, kind: bytes) -> list[tuple[bytes, bytes]]:
        messages = [self.read_message()]
        while messages[-1][0] not in (kind, b""):
            messages.append(self.read_message())
        return messages

    def read_to_end(self) -> list[tuple[bytes, bytes]]:
        return self.read_until(b"")[:-1]

    def say_nothing_more(self) -> None:
        """Ends its own direction of the TLS session."""
        self.socket.setblocking(False)
        with suppress(ssl.SSLWantReadError):
            self.socket.unwrap()
        self.socket.settimeout(TIMEOUT_S)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

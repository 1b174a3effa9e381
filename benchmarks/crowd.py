"""Many clients in one thread: they connect at once, log in over TLS, and stay."""

from __future__ import annotations

import selectors
import socket
import ssl
from contextlib import suppress
from pathlib import Path

TLS_REQUEST = bytes.fromhex("00000008 04d2162f")
GIVE_UP_S = 120
PASSWORD_REQUEST = b"R\0\0\0\x08\0\0\0\x03"
READY = b"Z\0\0\0\x05I"
STARTUP = b"\0\x03\0\0user\0admin\0database\0postgres\0\0"


class Client:
    """One of them, over memory and a socket that does not block."""

    def __init__(self, context: ssl.SSLContext, server_name: str, address: tuple[str, int], password: bytes) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            self.socket.connect(address)
        self._password = password
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._stage = self._ask_for_tls
        self._heard = b""
        self.is_in = False

    def begin(self) -> None:
        self.socket.sendall(TLS_REQUEST)

    def go_on(self) -> None:
        """Something can be read. Raises OSError when the other side has ended."""
        data = self.socket.recv(2**16)
        if not data:
            raise ConnectionResetError("the relay has closed the connection")
        self._stage(data)
        answer = self._outgoing.read()
        if answer:
            self.socket.sendall(answer)

    def _ask_for_tls(self, data: bytes) -> None:
        assert data == b"S"
        self._stage = self._shake_hands
        self._shake_hands(b"")

    def _shake_hands(self, data: bytes) -> None:
        self._incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self._stage = self._log_in
            self._tls.write((len(STARTUP) + 4).to_bytes(4, "big") + STARTUP)

    def _log_in(self, data: bytes) -> None:
        self._incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            while part := self._tls.read(2**14):
                self._heard += part
        if self._heard == PASSWORD_REQUEST:
            self._heard = b""
            self._tls.write(self._password)
        elif self._heard.endswith(READY):
            self.is_in = True
        else:
            assert not self._heard.startswith(b"E"), self._heard


class Crowd:
    def __init__(self, endpoint: str, port: int, authority: Path, token: str) -> None:
        """Clients of `admin`, who trust the certificates of `authority`."""
        self._context = ssl.create_default_context(cafile=authority)
        self._server_name = endpoint
        self._address = ("127.0.0.1", port)
        body = token.encode() + b"\0"
        self._password = b"p" + (len(body) + 4).to_bytes(4, "big") + body
        self._clients: list[Client] = []

    def connect(self, count: int) -> None:
        """All connect before any goes on; returns when all are in. Raises OSError if one is turned away."""
        selector = selectors.DefaultSelector()
        for _ in range(count):
            client = Client(self._context, self._server_name, self._address, self._password)
            self._clients.append(client)
            selector.register(client.socket, selectors.EVENT_WRITE, client)
        missing = count
        while missing:
            events = selector.select(GIVE_UP_S)
            assert events, f"{missing} of {count} clients are not in, and nothing happens"
            for key, _ in events:
                client = key.data
                if key.events == selectors.EVENT_WRITE:
                    client.begin()
                    selector.modify(client.socket, selectors.EVENT_READ, client)
                    continue
                client.go_on()
                if client.is_in:
                    missing -= 1
                    selector.unregister(client.socket)
        selector.close()

    def __len__(self) -> int:
        """How many are in."""
        return sum(client.is_in for client in self._clients)

    def drop(self) -> None:
        """All at once, without a word."""
        for client in self._clients:
            client.socket.close()
        self._clients.clear()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

"""A TLS client over memory: Python's ssl, and the pieces of a conversation with our side."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

from borealis.tls import ServerContext, ServerHandshake, TlsSession

HOST = "abcdefghijklmnopqrstuvwxyz.dsql.us-east-1.localhost"


class MemoryClient:
    def __init__(
        self,
        authority: Path,
        *,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        ciphers: str | None = None,
        alpn: list[str] | None = None,
        server_name: str = HOST,
    ) -> None:
        context = ssl.create_default_context(cafile=authority)
        context.minimum_version = context.maximum_version = version
        if ciphers is not None:
            context.set_ciphers(ciphers)
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def step(self, received: bytes = b"") -> bytes:
        """One step of the handshake; what the client sends."""
        self._incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def write(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

    def read(self, received: bytes) -> bytes:
        """The data in what our side sent; b"" too when that was close_notify."""
        self._incoming.write(received)
        parts = []
        while True:
            try:
                part = self.tls.read(2**16)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                return b"".join(parts)
            if not part:
                return b"".join(parts)
            parts.append(part)

    def close(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()


def shake_hands(context: ServerContext, client: MemoryClient, *, is_direct: bool = False) -> TlsSession:
    """Both sides to the end of the handshake."""
    handshake = ServerHandshake(context, is_direct=is_direct)
    sent = client.step()
    while not handshake.is_done:
        sent = client.step(handshake.feed(sent))
    session = handshake.finish()
    assert session.decrypt(sent) == b""
    return session


def move(session: TlsSession) -> TlsSession:
    """The session as another process would have it."""
    state = bytearray(session.export_bytes)
    session.export_into(state)
    session.close()
    return TlsSession.adopt(state)

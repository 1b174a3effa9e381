"""Handshakes without I/O, and what they have in common: those of Postgres clients, and those of our own channels."""

import ctypes
import os
from pathlib import Path
from typing import Final

from borealis.tls.errors import TlsError
from borealis.tls.library import INPUT_BYTES_MAX, RESULT_BYTES, library, result_address, result_view
from borealis.tls.session import TlsSession

_COUNT_MASK: Final = 2**40 - 1
_DONE: Final = 1 << 40
_FAILED: Final = 1 << 41
_PROBLEM_BYTES: Final = 256


class _Context:
    __slots__ = ("_handle",)

    _handle: int

    def close(self) -> None:
        if self._handle:
            library.tls_context_close(self._handle)
            self._handle = 0

    def __del__(self) -> None:
        self.close()

    def open_handle(self) -> int:
        """For handshakes."""
        if not self._handle:
            raise TlsError("this TLS context is closed")
        return self._handle


class ServerContext(_Context):
    """A certificate with its key, and the rules of our handshakes: TLS 1.3 and 1.2, forward secrecy, no resumption."""

    __slots__ = ()

    def __init__(self, chain: Path, key: Path) -> None:
        """Both files are PEM, the chain begins with the server's certificate. Raises TlsError."""
        self._handle = 0
        self._handle = _open_context(chain, key)

    def replace_certificate(self, chain: Path, key: Path) -> None:
        """For handshakes that begin from now on. Raises TlsError; the certificate then stays what it was."""
        before, self._handle = self._handle, _open_context(chain, key)
        if before:
            library.tls_context_close(before)


class ChannelContext(_Context):
    """Our own hosts among themselves: TLS 1.3, and both sides show a certificate of an authority that is only theirs.

    A certificate's purpose (extended key usage) says which role it is for: `serverAuth` to accept, `clientAuth` to
    connect.
    """

    __slots__ = ("connects",)

    def __init__(self, chain: Path, key: Path, authority: Path, *, connects: bool) -> None:
        """All files are PEM. Raises TlsError."""
        self._handle = 0
        self.connects = connects
        problem = ctypes.create_string_buffer(_PROBLEM_BYTES)
        paths = map(os.fsencode, (chain, key, authority))
        handle = library.tls_channel_context_open(connects, *paths, problem, _PROBLEM_BYTES)
        if handle is None:
            raise TlsError(f"{problem.value.decode(errors='replace')} ({chain}, {key}, {authority})")
        self._handle = int(handle)


def _open_context(chain: Path, key: Path) -> int:
    problem = ctypes.create_string_buffer(_PROBLEM_BYTES)
    handle = library.tls_context_open(os.fsencode(chain), os.fsencode(key), problem, _PROBLEM_BYTES)
    if handle is None:
        raise TlsError(f"{problem.value.decode(errors='replace')} ({chain}, {key})")
    return int(handle)


class _Handshake:
    """One handshake. The keys that come out of it never leave the C library but in an exported session."""

    __slots__ = ("_handle", "is_done")

    _handle: int
    is_done: bool

    def feed(self, data: bytes) -> bytes:
        """What is to be sent to the peer now. Raises TlsError, whose alert is to be sent before closing.

        Once `is_done`, what the peer has sent behind its handshake is in the session: `decrypt(b"")`.
        """
        if len(data) > INPUT_BYTES_MAX:
            raise TlsError("the peer sends too much at once")
        handle = self._open_handle()
        return self._take(library.tls_handshake_feed(handle, data, len(data), result_address, RESULT_BYTES))

    def _take(self, result: int) -> bytes:
        answer = bytes(result_view[: result & _COUNT_MASK])
        if result & _FAILED:
            raise TlsError(f"the TLS handshake failed: {library.tls_handshake_problem(self._handle).decode()}", answer)
        self.is_done = bool(result & _DONE)
        return answer

    def finish(self) -> TlsSession:
        """The session; the handshake is closed. Raises TlsError if it is not done."""
        handle = library.tls_handshake_finish(self._open_handle())
        problem = library.tls_handshake_problem(self._handle).decode()
        self.close()
        if handle is None:
            raise TlsError(problem or "the TLS handshake is not done")
        return TlsSession(int(handle))

    def close(self) -> None:
        """Forgets everything."""
        if self._handle:
            library.tls_handshake_close(self._handle)
            self._handle = 0

    def __del__(self) -> None:
        self.close()

    def _open_handle(self) -> int:
        if not self._handle:
            raise TlsError("this TLS handshake is closed")
        return self._handle


class ServerHandshake(_Handshake):
    """With the client of a database."""

    __slots__ = ()

    def __init__(self, context: ServerContext, *, is_direct: bool) -> None:
        """`is_direct`: TLS from the first byte, which needs ALPN; else the client asked for TLS before."""
        self._handle = 0
        self.is_done = False
        handle = library.tls_handshake_open(context.open_handle(), is_direct)
        if handle is None:
            raise TlsError("there is no memory for a TLS handshake")
        self._handle = int(handle)

    @property
    def server_name(self) -> str:
        """What the client calls this server (SNI), or "". It comes from the client: any text."""
        return str(library.tls_handshake_server_name(self._open_handle()).decode(errors="replace"))

    @property
    def has_alpn(self) -> bool:
        """The protocol `postgresql` was negotiated."""
        return bool(library.tls_handshake_has_alpn(self._open_handle()))


class ChannelHandshake(_Handshake):
    """Between two of our own hosts, both of which are known afterwards."""

    __slots__ = ()

    def __init__(self, context: ChannelContext, server_name: str = "") -> None:
        """`server_name`: whom to find at the other end, for the side that connects. Raises TlsError."""
        self._handle = 0
        self.is_done = False
        handle = library.tls_channel_handshake_open(context.open_handle(), server_name.encode() or None)
        if handle is None:
            raise TlsError("a TLS handshake needs memory and, on the side that connects only, a name")
        self._handle = int(handle)

    def start(self) -> bytes:
        """What the side that connects says first."""
        return self._take(library.tls_handshake_start(self._open_handle(), result_address, RESULT_BYTES))

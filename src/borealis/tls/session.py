"""One established TLS session: its record layer, and its way to another process."""

from ctypes import c_char_p
from typing import Final, NoReturn

from borealis.tls.errors import TlsError
from borealis.tls.library import (
    INPUT_BYTES_MAX,
    address_of,
    cleanse,
    decrypt,
    encrypt,
    library,
    receive,
    result_address,
    result_view,
    send,
)

_COUNT_MASK: Final = 2**40 - 1
_PEER_ALERT: Final = -256
_UNUSABLE: Final = -600
_STREAM_ENDED: Final = -602

_ALERTS: Final = {
    10: "a message that has no place here",
    20: "a record that was not encrypted with the session's keys",
    22: "a record that is too long",
    40: "the wish to negotiate anew",
    47: "a value that is not allowed",
    50: "a message that cannot be decoded",
}
_VERSIONS: Final = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}


class TlsSession:
    """The keys are in the C library; this is a handle to them.

    The peer's KeyUpdates are answered, and our own keys changed in time, by what `encrypt` writes. After a TlsError
    the session is of no use any more.
    """

    __slots__ = ("_handle", "peer_closed")

    def __init__(self, handle: int) -> None:
        """For `ServerHandshake.finish` and `adopt`."""
        self._handle = handle
        self.peer_closed = False
        """The peer has sent close_notify. A connection that ends without it has been cut off."""

    @classmethod
    def adopt(cls, state: bytearray | memoryview) -> "TlsSession":
        """The session that another process exported; overwrites `state`, which must be writable. Raises TlsError."""
        handle = library.tls_session_adopt(address_of(state), len(state)) if len(state) else None
        cleanse(state)
        if handle is None:
            raise TlsError("the state of a TLS session breaks a rule")
        return cls(handle)

    def decrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """The data of all records that are complete now; the rest is kept. Raises TlsError."""
        if type(data) is not bytes:
            data = bytes(data)
        if len(data) > INPUT_BYTES_MAX:
            return b"".join(map(self.decrypt, _pieces(data)))
        result = decrypt(self._handle, data)
        return result if type(result) is bytes else self._take_last(result)

    def receive(self, descriptor: int, maximum: int) -> bytes:
        """As `decrypt`, of what this socket has now, at most so much; it must not block. Raises OSError and TlsError,
        and EOFError at the end of the stream."""
        result = receive(self._handle, descriptor, maximum)
        return result if type(result) is bytes else self._take_last(result)

    def _take_last(self, result: bytes | int) -> bytes:
        """The data before the end of the peer's side. Raises what went wrong, if that is the result."""
        assert type(result) is int
        if result < 0:
            self._raise(result)
        self.peer_closed = True
        return bytes(result_view[: result & _COUNT_MASK])

    def encrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """Records with all of `data`. Raises TlsError."""
        if type(data) is not bytes:
            data = bytes(data)
        if len(data) > INPUT_BYTES_MAX:
            return b"".join(map(self.encrypt, _pieces(data)))
        result = encrypt(self._handle, data)
        if type(result) is bytes:
            return result
        assert type(result) is int
        return self._raise(result)

    def send(self, descriptor: int, data: bytes) -> bytes:
        """Writes `data` to this socket, which must not block; returns what it did not take, encrypted. Raises OSError
        and TlsError; the session is of no use then."""
        if len(data) > INPUT_BYTES_MAX:
            return self._send_pieces(descriptor, _pieces(data))
        result = send(self._handle, data, descriptor)
        if type(result) is bytes:
            return result
        assert type(result) is int
        return self._raise(result)

    def _send_pieces(self, descriptor: int, pieces: list[bytes]) -> bytes:
        for at, piece in enumerate(pieces):
            unsent = self.send(descriptor, piece)
            if unsent:
                return unsent + b"".join(map(self.encrypt, pieces[at + 1 :]))
        return b""

    def encrypt_buffer(self, buffer: bytearray) -> bytes:
        """As `encrypt`, for a buffer that holds secrets: no copy of it is made. Raises TlsError."""
        if len(buffer) > INPUT_BYTES_MAX:
            raise ValueError(f"a buffer with secrets has at most {INPUT_BYTES_MAX} bytes")
        data = c_char_p(address_of(buffer))
        result = library.tls_session_encrypt(self._handle, data, len(buffer), result_address)
        if result < 0:
            self._raise(result)
        return bytes(result_view[:result])

    def close_notify(self) -> bytes:
        """The record that ends our side, to be sent before the socket is closed; b"" if there is nothing to say."""
        result = library.tls_session_close_notify(self._handle, result_address)
        return bytes(result_view[: max(result, 0)])

    @property
    def version(self) -> str:
        return _VERSIONS[library.tls_session_version(self._open_handle())]

    @property
    def suite(self) -> int:
        """Number of the cipher suite in the TLS registry."""
        return int(library.tls_session_suite(self._open_handle()))

    @property
    def export_bytes(self) -> int:
        """The room that `export_into` needs at this moment."""
        return int(library.tls_session_state_bytes(self._open_handle()))

    def export_into(self, room: bytearray | memoryview) -> None:
        """Writes the state, keys included, to `room`. From then on the session belongs to whoever adopts it.

        The caller cleanses `room` once it has been sent. Raises TlsError if there is nothing to be handed over.
        """
        if not library.tls_session_export(self._open_handle(), address_of(room), len(room)):
            raise TlsError("this TLS session cannot be handed over")

    def reclaim(self) -> None:
        """Takes an exported session back. Only for states that nobody has used: a nonce must not be used twice."""
        if not library.tls_session_reclaim(self._open_handle()):
            raise TlsError("this TLS session was not handed over")

    def rekey_after(self, records: int) -> None:
        """Changes how many records one key serves for (2^23, well below the limit of AES-GCM)."""
        library.tls_session_set_rekey_after(self._open_handle(), records)

    def close(self) -> None:
        """Forgets the keys."""
        if self._handle:
            library.tls_session_close(self._handle)
            self._handle = 0

    def __del__(self) -> None:
        self.close()

    def _open_handle(self) -> int:
        if not self._handle:
            raise TlsError("this TLS session is closed")
        return self._handle

    def _raise(self, result: int) -> NoReturn:
        if result == _STREAM_ENDED:
            raise EOFError("the connection was closed")
        if result <= _UNUSABLE or not self._handle:
            raise TlsError("this TLS session has ended" if result == _UNUSABLE else "there is no memory")
        if result <= _PEER_ALERT:
            raise TlsError(f"the peer ended the TLS session with alert {_PEER_ALERT - result}")
        written = library.tls_session_alert(self._handle, result_address)
        alert = bytes(result_view[: max(written, 0)])
        raise TlsError(f"the peer sent {_ALERTS.get(-result, f'what leads to alert {-result}')}", alert)


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + INPUT_BYTES_MAX] for at in range(0, len(data), INPUT_BYTES_MAX)]

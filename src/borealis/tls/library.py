"""The C library that holds every key (tls_library/), loaded, and the types of its functions.

Owns the buffer that the functions write their results to: one for the process, because nothing here is called by two
threads at once. Calls keep the interpreter's lock (PyDLL): letting it go would cost more than most of them take.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

from borealis.tls.errors import TlsUnavailable

INPUT_BYTES_MAX: Final = 2**17
"""Longest piece that one call takes."""
RESULT_BYTES: Final = INPUT_BYTES_MAX + 2**17
"""Room for the result of a call: what it was given, what was unread before, and what records need around it."""

_SUFFIX: Final = ".dylib" if sys.platform == "darwin" else ".so"
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "tls_open": (c_char_p, []),
    "tls_openssl_version": (c_char_p, []),
    "tls_cleanse": (None, [c_void_p, c_size_t]),
    "tls_set_cipher_contexts_max": (None, [c_size_t]),
    "tls_seal": (c_int, [c_char_p, c_char_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p]),
    "tls_unseal": (c_int, [c_char_p, c_char_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p]),
    "tls_context_open": (c_void_p, [c_char_p, c_char_p, c_char_p, c_size_t]),
    "tls_channel_context_open": (c_void_p, [c_int, c_char_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "tls_context_close": (None, [c_void_p]),
    "tls_handshake_open": (c_void_p, [c_void_p, c_int]),
    "tls_channel_handshake_open": (c_void_p, [c_void_p, c_char_p]),
    "tls_handshake_start": (c_int64, [c_void_p, c_void_p, c_size_t]),
    "tls_handshake_feed": (c_int64, [c_void_p, c_char_p, c_size_t, c_void_p, c_size_t]),
    "tls_handshake_problem": (c_char_p, [c_void_p]),
    "tls_handshake_server_name": (c_char_p, [c_void_p]),
    "tls_handshake_has_alpn": (c_int, [c_void_p]),
    "tls_handshake_finish": (c_void_p, [c_void_p]),
    "tls_handshake_close": (None, [c_void_p]),
    "tls_session_decrypt": (c_int64, [c_void_p, c_char_p, c_size_t, c_void_p]),
    "tls_session_encrypt": (c_int64, [c_void_p, c_char_p, c_size_t, c_void_p]),
    "tls_session_close_notify": (c_int64, [c_void_p, c_void_p]),
    "tls_session_alert": (c_int64, [c_void_p, c_void_p]),
    "tls_session_version": (c_uint, [c_void_p]),
    "tls_session_suite": (c_uint, [c_void_p]),
    "tls_session_set_rekey_after": (None, [c_void_p, c_uint64]),
    "tls_session_close": (None, [c_void_p]),
    "tls_session_state_bytes": (c_size_t, [c_void_p]),
    "tls_session_export": (c_int, [c_void_p, c_void_p, c_size_t]),
    "tls_session_reclaim": (c_int, [c_void_p]),
    "tls_session_adopt": (c_void_p, [c_void_p, c_size_t]),
}


def _load() -> ctypes.PyDLL:
    # OpenSSL is then in the process, and the library uses the same one.
    with suppress(ImportError):
        import ssl  # noqa: F401
    path = os.environ.get("BOREALIS_TLS_LIBRARY") or Path(__file__).with_name(f"borealis_tls{_SUFFIX}")
    try:
        loaded = ctypes.PyDLL(str(path))
    except OSError as error:
        raise TlsUnavailable(f"the TLS library cannot be loaded, build it with `make build`: {error}") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    problem = loaded.tls_open()
    if problem is not None:
        raise TlsUnavailable(problem.decode())
    return loaded


library: Final = _load()

_result = bytearray(RESULT_BYTES)
result_view: Final = memoryview(_result)
result_address: Final = ctypes.addressof(ctypes.c_char.from_buffer(_result))


def _built_in(number: int) -> Callable[..., bytes | int]:
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, c_int, c_void_p)
    make = prototype(("tls_python_function", library))
    try:
        function: Callable[..., bytes | int] = make(number, result_address)
    except ValueError as error:
        raise TlsUnavailable("the TLS library does not find Python's own functions in this process") from error
    return function


decrypt: Final[Callable[[int, bytes], bytes | int]] = _built_in(0)
"""(handle, at most INPUT_BYTES_MAX) → bytes, or a number with its bytes in the result buffer."""
encrypt: Final[Callable[[int, bytes], bytes | int]] = _built_in(1)
"""The same, for the other direction."""
receive: Final[Callable[[int, int, int], bytes | int]] = _built_in(2)
"""(handle, descriptor, at most so many) → as `decrypt`, of what a socket has. Raises OSError."""
send: Final[Callable[[int, bytes, int], bytes | int]] = _built_in(3)
"""(handle, at most INPUT_BYTES_MAX, descriptor) → what a socket did not take of the records. Raises OSError."""


def address_of(buffer: bytearray | memoryview) -> int:
    """Where a writable buffer is; valid as long as the caller holds it. Raises TypeError if it cannot be written to."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def cleanse(buffer: bytearray | memoryview) -> None:
    """Overwrites a buffer that held secrets, in a way that no compiler leaves out."""
    if len(buffer):
        library.tls_cleanse(address_of(buffer), len(buffer))

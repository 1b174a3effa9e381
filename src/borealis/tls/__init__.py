"""TLS in two halves: the handshake in one process, the record layer of the session it made in any other.

`ServerHandshake` makes a `TlsSession`; a session exports itself into a buffer and is adopted from one. Keys live in the
C library (tls_library/) and in that buffer, nowhere else, and are overwritten when they are no longer needed. No I/O
here, and nothing is called by two threads at once. Whatever a client sends ends in a `TlsError` at worst.
"""

from borealis.tls.errors import TlsError, TlsUnavailable
from borealis.tls.handshake import ServerContext, ServerHandshake
from borealis.tls.library import cleanse
from borealis.tls.session import TlsSession

__all__ = ["ServerContext", "ServerHandshake", "TlsError", "TlsSession", "TlsUnavailable", "cleanse"]

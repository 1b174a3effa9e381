"""What can go wrong with TLS."""

from borealis.foundation.errors import BorealisError, Unavailable


class TlsUnavailable(Unavailable):
    """There is no OpenSSL that can be used, or the library was not built."""


class TlsError(BorealisError):
    """A handshake or a session has come to its end, or a certificate cannot be used.

    `alert` is what is to be sent before the connection is closed; it may be empty.
    """

    def __init__(self, text: str, alert: bytes = b"") -> None:
        super().__init__(text)
        self.alert = alert

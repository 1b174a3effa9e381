"""Refusals: what a client is told when the relay does not let it in, and how that is spelled on the wire.

Owns the one table of SQLSTATEs and words (docs/relay.md repeats it, a test compares the two). A refusal never holds
anything of a secret; hints may quote names that the client itself has sent.
"""

from dataclasses import dataclass, replace
from typing import Final

_HEADER: Final = b"E"
_TEXT_BYTES_MAX: Final = 2048


@dataclass(frozen=True, slots=True)
class Refusal:
    """A FATAL ErrorResponse. `reason` is a word of ours, for the audit log and the counters."""

    reason: str
    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""

    def with_hint(self, hint: str) -> "Refusal":
        return replace(self, hint=hint)


PROTOCOL_VIOLATION: Final = "08P01"
CONNECTION_FAILURE: Final = "08006"

_UNENCRYPTED_DATA: Final = (
    "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."
)

NO_SERVER_NAME: Final = Refusal(
    "no_server_name", CONNECTION_FAILURE, "unable to accept connection, sni was not received"
)
ACCESS_DENIED: Final = Refusal("access_denied", CONNECTION_FAILURE, "unable to accept connection, access denied")
UNKNOWN_CLUSTER: Final = replace(ACCESS_DENIED, reason="unknown_cluster", hint="There is no cluster of this name here.")
CLUSTER_MISMATCH: Final = replace(
    ACCESS_DENIED,
    reason="cluster_mismatch",
    hint="The server name and the option amzn-cluster-id name different clusters.",
)
UNKNOWN_DATABASE: Final = Refusal(
    "unknown_database", "3D000", "database does not exist", hint='The only database of a cluster is "postgres".'
)
TLS_REQUIRED: Final = Refusal(
    "tls_required",
    "28000",
    "unable to accept connection, TLS is required",
    hint="Connect with sslmode=require, or better with sslmode=verify-full.",
)
TOO_MANY_PENDING: Final = Refusal(
    "too_many_pending",
    "53300",
    "Unable to accept connection, too many open connections.",
    hint="Too many connections are being opened at the same time.",
)
RATE_EXCEEDED: Final = Refusal("rate_exceeded", "53400", "Unable to accept connection, rate exceeded.")
SERVER_UNAVAILABLE: Final = Refusal("server_unavailable", "XX000", "server unavailable")
WAKING_UP: Final = Refusal(
    "waking_up", CONNECTION_FAILURE, "unable to accept connection, waking up cluster, please retry later"
)
SHUTTING_DOWN: Final = Refusal("shutting_down", "57P03", "the database system is shutting down")
OUT_OF_TIME: Final = Refusal("out_of_time", "57014", "canceling authentication due to timeout")

PACKET_LENGTH: Final = Refusal("malformed", PROTOCOL_VIOLATION, "invalid length of startup packet")
PACKET_LAYOUT: Final = Refusal(
    "malformed", PROTOCOL_VIOLATION, "invalid startup packet layout: expected terminator as last byte"
)
CANCEL_LENGTH: Final = Refusal("malformed", PROTOCOL_VIOLATION, "invalid length of cancel request packet")
DATA_BEFORE_TLS: Final = Refusal(
    "data_before_tls", PROTOCOL_VIOLATION, "received unencrypted data after SSL request", detail=_UNENCRYPTED_DATA
)
DATA_BEFORE_GSS: Final = Refusal(
    "data_before_tls",
    PROTOCOL_VIOLATION,
    "received unencrypted data after GSSAPI encryption request",
    detail=_UNENCRYPTED_DATA,
)
NO_USER: Final = Refusal("no_user", "28000", "no PostgreSQL user name specified in startup packet")
NO_REPLICATION: Final = Refusal("no_replication", "0A000", "replication connections are not supported")
NOT_UTF8: Final = Refusal("malformed", "22021", 'invalid byte sequence for encoding "UTF8" in startup packet')
OPTIONS_LAYOUT: Final = Refusal("malformed", "42601", "the options of the startup packet cannot be understood")
PASSWORD_EXPECTED: Final = Refusal("malformed", PROTOCOL_VIOLATION, "expected password response")
PASSWORD_SIZE: Final = Refusal("malformed", PROTOCOL_VIOLATION, "invalid password packet size")
PASSWORD_EMPTY: Final = Refusal("no_token", "28P01", "empty password returned by client")


def unsupported_protocol(major: int, minor: int) -> Refusal:
    return Refusal("malformed", "0A000", f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0")


def unknown_database(name: str) -> Refusal:
    return replace(UNKNOWN_DATABASE, message=f'database "{name}" does not exist')


def encode_refusal(refusal: Refusal) -> bytes:
    """The ErrorResponse of the Postgres protocol, version 3."""
    fields = [
        b"SFATAL",
        b"VFATAL",
        b"C" + refusal.sqlstate.encode(),
        b"M" + _text(refusal.message),
    ]
    if refusal.detail:
        fields.append(b"D" + _text(refusal.detail))
    if refusal.hint:
        fields.append(b"H" + _text(refusal.hint))
    body = b"\0".join(fields) + b"\0\0"
    return _HEADER + (len(body) + 4).to_bytes(4, "big") + body


def _text(text: str) -> bytes:
    """Bounded, whole characters, and without what would end the field."""
    return text.replace("\0", " ").encode(errors="replace")[:_TEXT_BYTES_MAX].decode(errors="ignore").encode()

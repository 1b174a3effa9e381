"""Messages of the Postgres protocol, version 3: cutting a client's stream into them, and building those that we say.

Owns lengths, types and bounds. Promises: of a message that is not complete nothing is kept beyond what has arrived, and
large ones are passed on in pieces; a type or a length that Postgres would not accept ends the stream. The format is
that of the PostgreSQL manual, "Frontend/Backend Protocol".
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

HEADER: Final = struct.Struct(">BI")
HEADER_BYTES: Final = 5
PROTOCOL_3_0: Final = 3 << 16

# From the client. The same letters mean other things when the server says them.
BIND: Final = ord("B")
CLOSE: Final = ord("C")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
CALL: Final = ord("F")
FLUSH: Final = ord("H")
PARSE: Final = ord("P")
QUERY: Final = ord("Q")
SYNC: Final = ord("S")
TERMINATE: Final = ord("X")
COPY_DONE: Final = ord("c")
COPY_DATA: Final = ord("d")
COPY_FAIL: Final = ord("f")
CONTINUATION: Final = 0
"""Not a message: more of the one before, which was too large to wait for."""

# From the server.
PARSE_COMPLETE: Final = ord("1")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
NOTIFICATION: Final = ord("A")
COMMAND_COMPLETE: Final = ord("C")
DATA_ROW: Final = ord("D")
ERROR: Final = ord("E")
COPY_IN: Final = ord("G")
EMPTY_QUERY: Final = ord("I")
KEY_DATA: Final = ord("K")
NOTICE: Final = ord("N")
NO_DATA: Final = ord("n")
AUTHENTICATION: Final = ord("R")
PARAMETER_STATUS: Final = ord("S")
SUSPENDED: Final = ord("s")
ROW_DESCRIPTION: Final = ord("T")
READY: Final = ord("Z")

IDLE: Final = ord("I")
IN_TRANSACTION: Final = ord("T")
FAILED: Final = ord("E")

# What PostgreSQL itself accepts (backend_startup and postgres.c): lengths include their own four bytes.
_LARGE_BYTES_MAX: Final = 0x3FFFFFFE
_SMALL_BYTES_MAX: Final = 10_000
_LENGTH_MAX: Final[dict[int, int]] = {
    **dict.fromkeys((QUERY, PARSE, BIND, CALL, COPY_DATA, COPY_FAIL), _LARGE_BYTES_MAX),
    **dict.fromkeys((CLOSE, DESCRIBE, EXECUTE, FLUSH, SYNC, TERMINATE, COPY_DONE), _SMALL_BYTES_MAX),
}

# Postgres takes an error of these for one of its own loop; a front ends the session, which needs no guessing.
_EMPTY: Final = frozenset((SYNC, FLUSH))

PIECE_BYTES: Final = 16 * 1024
"""A message of which this much has arrived is passed on without its end."""
PARSE_BYTES_MAX: Final = 256 * 1024
"""The same for Parse: a statement up to this size can be remembered and prepared again elsewhere."""


class ProtocolViolation(Exception):  # noqa: N818 - it says what happened
    """The peer said something that the protocol does not allow; the text is what Postgres says about it."""


Request: TypeAlias = tuple[int, bytes]
"""Kind and octets of a whole message of a client; or, of a large one, its beginning, or (CONTINUATION) more of it."""


class RequestReader:
    """Cuts what a client sends, in whatever pieces it arrives, into requests."""

    __slots__ = ("_partial", "_to_come")

    def __init__(self) -> None:
        self._partial = b""
        self._to_come = 0

    @property
    def is_within_message(self) -> bool:
        """A message has been passed on whose end has not arrived."""
        return self._to_come > 0

    @property
    def buffered_bytes(self) -> int:
        return len(self._partial)

    def feed(self, data: bytes) -> list[Request]:
        """In order. Raises ProtocolViolation; the stream is of no use then."""
        requests: list[Request] = []
        if self._to_come:
            more = data[: self._to_come]
            requests.append((CONTINUATION, more))
            self._to_come -= len(more)
            data = data[len(more) :]
        if self._partial:
            data = self._partial + data
        at, size = 0, len(data)
        while size - at >= HEADER_BYTES:
            kind, length = HEADER.unpack_from(data, at)
            limit = _LENGTH_MAX.get(kind)
            if limit is None:
                raise ProtocolViolation(f"invalid frontend message type {kind}")
            if not 4 <= length <= limit:
                raise ProtocolViolation("invalid message length")
            if length > 4 and kind in _EMPTY:
                raise ProtocolViolation("invalid message format")
            end = at + 1 + length
            if end > size:
                if size - at >= (PARSE_BYTES_MAX if kind == PARSE else PIECE_BYTES):
                    requests.append((kind, data[at:]))
                    self._to_come = end - size
                    at = size
                break
            requests.append((kind, data[at:end]))
            at = end
        self._partial = data[at:]
        return requests


def name_end(octets: bytes, at: int) -> int:
    """Where the text that starts at `at` ends, its zero byte not included. Raises ProtocolViolation."""
    end = octets.find(0, at)
    if end < 0:
        raise ProtocolViolation("invalid string in message")
    return end


def message(kind: int, body: bytes = b"") -> bytes:
    return HEADER.pack(kind, 4 + len(body)) + body


def startup_packet(parameters: Mapping[str, str]) -> bytes:
    body = b"".join(b"%s\0%s\0" % (name.encode(), value.encode()) for name, value in parameters.items())
    return struct.pack(">II", 9 + len(body), PROTOCOL_3_0) + body + b"\0"


def cancel_packet(process_id: int, secret: int) -> bytes:
    return struct.pack(">IIII", 16, (1234 << 16) | 5678, process_id, secret)


def parse_message(name: bytes, text: bytes) -> bytes:
    """Without parameter types."""
    return message(PARSE, b"%s\0%s\0\0\0" % (name, text))


def close_statement(name: bytes) -> bytes:
    return message(CLOSE, b"S%s\0" % name)


def query(text: str) -> bytes:
    return message(QUERY, text.encode() + b"\0")


def query_with_parameters(text: str, parameters: Iterable[bytes | None], *, is_binary: bool = False) -> bytes:
    """One statement with its parameters, in one transaction of its own: Parse to Sync, all results in the same format
    as the parameters."""
    values = [struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value for value in parameters]
    formats = struct.pack(">HH", 1, is_binary)
    bind = b"\0\0" + formats + struct.pack(">H", len(values)) + b"".join(values) + formats
    return b"".join(
        (
            parse_message(b"", text.encode()),
            message(BIND, bind),
            message(EXECUTE, b"\0\0\0\0\0"),
            message(SYNC),
        )
    )


def error_response(severity: str, sqlstate: str, text: str, *, hint: str = "", detail: str = "") -> bytes:
    fields = [("S", severity), ("V", severity), ("C", sqlstate), ("M", text)]
    fields += [(code, value) for code, value in (("D", detail), ("H", hint)) if value]
    body = b"".join(b"%s%s\0" % (code.encode(), value.encode(errors="replace")) for code, value in fields)
    return message(ERROR, body + b"\0")


def read_error(octets: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse, body only, by their code."""
    return {field[:1].decode("latin-1"): field[1:].decode(errors="replace") for field in octets.split(b"\0") if field}


def parameter_status(name: bytes, value: bytes) -> bytes:
    return message(PARAMETER_STATUS, b"%s\0%s\0" % (name, value))


def ready_for_query(status: int) -> bytes:
    return message(READY, bytes((status,)))


def key_data(process_id: int, secret: int) -> bytes:
    return message(KEY_DATA, struct.pack(">II", process_id, secret))


def refuse_requests(requests: Iterable[Request], error: bytes, status: int) -> bytes | None:
    """The answer to requests none of which will be carried out. None if the last of them is not complete: then it
    cannot be answered yet."""
    answer: list[bytes] = []
    is_open = False
    for kind, _ in requests:
        is_open = kind not in (QUERY, SYNC, CALL)
        if not is_open:
            answer += (error, ready_for_query(status))
    return None if is_open else b"".join(answer)


def count_first_answered(requests: Sequence[Request]) -> int:
    """How many of them are answered by the first ReadyForQuery; 0 if those are not complete."""
    for at, (kind, _) in enumerate(requests, 1):
        if kind in (QUERY, SYNC, CALL):
            while at < len(requests) and requests[at][0] == CONTINUATION:
                at += 1
            return at
    return 0


AUTHENTICATION_OK: Final = message(AUTHENTICATION, bytes(4))


def read_columns(octets: bytes) -> list[bytes | None]:
    """The values of a DataRow, body only. Raises ProtocolViolation."""
    values: list[bytes | None] = []
    try:
        (count,) = struct.unpack_from(">H", octets)
        at = 2
        for _ in range(count):
            (length,) = struct.unpack_from(">i", octets, at)
            at += 4
            values.append(None if length < 0 else octets[at : at + length])
            at += max(length, 0)
    except struct.error:
        raise ProtocolViolation("a row is cut off") from None
    if at != len(octets):
        raise ProtocolViolation("a row is not as long as it says")
    return values

"""Requests and answers on the commit socket (docs/formats.md), except the transaction record itself."""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from borealis.foundation.errors import Malformed, Reason
from borealis.foundation.identifiers import CatalogVersion, Relfilenode, Timestamp, TransactionId
from borealis.wire.frames import Octets, encode_frame

PROTOCOL_VERSION: Final = 1

_HELLO: Final = struct.Struct("<II")
_OUTCOME: Final = struct.Struct("<16sQ")
_SEQUENCE: Final = struct.Struct("<IBBHqqqqqQ")
_HELLO_OK: Final = struct.Struct("<QQ")
_COMMITTED: Final = struct.Struct("<QQ")
_COMMITTED_FRAME: Final = struct.Struct("<IBBHQQQ")
_REFUSAL: Final = struct.Struct("<HH")
_SEQUENCE_OK: Final = struct.Struct("<qQB7x")
_TEXT_BYTES_MAX: Final = 2**16 - 1

HELLO_BYTES: Final = _HELLO.size
OUTCOME_BYTES: Final = _OUTCOME.size
SEQUENCE_BYTES: Final = _SEQUENCE.size
RESERVE_BYTES_MAX: Final = 4 * 16_384


class CommitFrame(IntEnum):
    HELLO = 1
    COMMIT = 2
    OUTCOME = 3
    SEQUENCE = 4
    RESERVE = 5
    HELLO_OK = 65
    COMMITTED = 66
    REJECTED = 67
    UNKNOWN = 68
    SEQUENCE_OK = 69
    ERROR = 70
    RESERVED = 71


class SequenceOperation(IntEnum):
    NEXT = 1
    SET = 2
    LOOK = 3
    GIVE_BACK = 4


class SequenceFlag(IntEnum):
    CYCLE = 1
    START_IS_CALLED = 2
    VALUE_IS_CALLED = 4


class Hello(NamedTuple):
    protocol_version: int
    instance: int


class OutcomeQuery(NamedTuple):
    transaction_id: TransactionId
    read_timestamp: Timestamp


class SequenceCall(NamedTuple):
    """One operation on a sequence; `start` and `start_is_called` count only while the service has no state for it."""

    relfilenode: Relfilenode
    operation: SequenceOperation
    is_cycling: bool
    start_is_called: bool
    value_is_called: bool
    start: int
    increment: int
    minimum: int
    maximum: int
    value: int
    wanted: int


class HelloAnswer(NamedTuple):
    lease_start: Timestamp
    transaction_bytes_max: int


class Committed(NamedTuple):
    timestamp: Timestamp
    catalog_version: CatalogVersion


class Refused(NamedTuple):
    """Certainly not committed."""

    reason: Reason
    text: str = ""


class OutcomeUnknown(NamedTuple):
    """Older than the service remembers."""


class SequenceGrant(NamedTuple):
    """`granted` values from `first` on, `increment` apart; for set and look the state itself, granted 1."""

    first: int
    granted: int
    is_called: bool


class Reserved(NamedTuple):
    """Others' commits on the tables are held until the connection ends."""


Answer: TypeAlias = Committed | Refused | OutcomeUnknown | SequenceGrant | Reserved | HelloAnswer


def decode_hello(payload: Octets) -> Hello:
    if len(payload) != _HELLO.size:
        raise Malformed("a HELLO has the wrong length")
    return Hello._make(_HELLO.unpack(payload))


def encode_hello(hello: Hello) -> bytes:
    return _HELLO.pack(*hello)


def decode_outcome_query(payload: Octets) -> OutcomeQuery:
    if len(payload) != _OUTCOME.size:
        raise Malformed("an OUTCOME has the wrong length")
    return OutcomeQuery._make(_OUTCOME.unpack(payload))


def encode_outcome_query(query: OutcomeQuery) -> bytes:
    return _OUTCOME.pack(*query)


def decode_sequence_call(payload: Octets) -> SequenceCall:
    if len(payload) != _SEQUENCE.size:
        raise Malformed("a SEQUENCE has the wrong length")
    relfilenode, operation, flags, zero, start, increment, minimum, maximum, value, count = _SEQUENCE.unpack(payload)
    if operation not in SequenceOperation.__members__.values() or flags > sum(SequenceFlag) or zero or not relfilenode:
        raise Malformed("a sequence operation, flag or relfilenode is not known")
    if not increment or not minimum <= start <= maximum:
        raise Malformed("the parameters of a sequence contradict each other")
    if operation == SequenceOperation.SET and not minimum <= value <= maximum:
        raise Malformed("the value of a sequence is outside of its bounds")
    if operation == SequenceOperation.NEXT and not count:
        raise Malformed("no value of a sequence is wanted")
    return SequenceCall(
        Relfilenode(relfilenode),
        SequenceOperation(operation),
        bool(flags & SequenceFlag.CYCLE),
        bool(flags & SequenceFlag.START_IS_CALLED),
        bool(flags & SequenceFlag.VALUE_IS_CALLED),
        start,
        increment,
        minimum,
        maximum,
        value,
        count,
    )


def encode_sequence_call(call: SequenceCall) -> bytes:
    flags = (
        call.is_cycling * SequenceFlag.CYCLE
        | call.start_is_called * SequenceFlag.START_IS_CALLED
        | call.value_is_called * SequenceFlag.VALUE_IS_CALLED
    )
    return _SEQUENCE.pack(call.relfilenode, call.operation, flags, 0, *call[5:])


def decode_reservation(payload: Octets) -> list[Relfilenode]:
    """The tables to reserve."""
    if not payload or len(payload) % 4 or len(payload) > RESERVE_BYTES_MAX:
        raise Malformed("a RESERVE has the wrong length")
    tables = [Relfilenode(table) for (table,) in struct.iter_unpack("<I", payload)]
    if not all(tables):
        raise Malformed("a relfilenode to reserve is zero")
    return tables


def encode_reservation(tables: Sequence[Relfilenode]) -> bytes:
    return struct.pack(f"<{len(tables)}I", *tables)


def encode_refusal(reason: Reason, text: str) -> bytes:
    """Payload of REJECTED and ERROR; a text that is too long is cut at a character."""
    encoded = text.encode()[:_TEXT_BYTES_MAX].decode(errors="ignore").encode()
    return _REFUSAL.pack(reason, len(encoded)) + encoded


def encode_answer(request: int, answer: Answer) -> bytes:
    """The whole frame."""
    match answer:
        case Committed(timestamp, catalog_version):
            return _COMMITTED_FRAME.pack(
                _COMMITTED.size, CommitFrame.COMMITTED, 0, 0, request, timestamp, catalog_version
            )
        case Refused(reason, text):
            return encode_frame(CommitFrame.REJECTED, request, encode_refusal(reason, text))
        case SequenceGrant():
            return encode_frame(CommitFrame.SEQUENCE_OK, request, _SEQUENCE_OK.pack(*answer))
        case HelloAnswer():
            return encode_frame(CommitFrame.HELLO_OK, request, _HELLO_OK.pack(*answer))
        case Reserved():
            return encode_frame(CommitFrame.RESERVED, request)
        case OutcomeUnknown():
            return encode_frame(CommitFrame.UNKNOWN, request)


def encode_error(request: int, reason: Reason, text: str) -> bytes:
    """The frame that precedes the closing of a connection."""
    return encode_frame(CommitFrame.ERROR, request, encode_refusal(reason, text))


def decode_refusal(payload: Octets) -> Refused:
    if len(payload) < _REFUSAL.size:
        raise Malformed("a refusal is cut off")
    reason, length = _REFUSAL.unpack_from(payload)
    if length != len(payload) - _REFUSAL.size or reason not in Reason.__members__.values():
        raise Malformed("a refusal has a length or reason out of range")
    return Refused(Reason(reason), bytes(payload[_REFUSAL.size :]).decode(errors="replace"))


def decode_answer(frame_type: int, payload: Octets) -> Answer:
    """The answer in a frame. Raises Malformed. ERROR is not an answer: it ends the stream (`decode_refusal`)."""
    try:
        match frame_type:
            case CommitFrame.COMMITTED:
                return Committed._make(_COMMITTED.unpack(payload))
            case CommitFrame.REJECTED:
                return decode_refusal(payload)
            case CommitFrame.UNKNOWN if not payload:
                return OutcomeUnknown()
            case CommitFrame.RESERVED if not payload:
                return Reserved()
            case CommitFrame.SEQUENCE_OK:
                first, count, is_called = _SEQUENCE_OK.unpack(payload)
                return SequenceGrant(first, count, bool(is_called))
            case CommitFrame.HELLO_OK:
                return HelloAnswer._make(_HELLO_OK.unpack(payload))
    except struct.error as error:
        raise Malformed("an answer has the wrong length") from error
    raise Malformed(f"an answer of type {frame_type} is not known")

"""Messages on the journal socket (docs/formats.md), except the batches themselves."""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import Position, Timestamp
from borealis.wire.frames import Octets

_POSITION: Final = struct.Struct("<Q")
_APPLIED: Final = struct.Struct("<QQ")


class JournalFrame(IntEnum):
    FOLLOW = 1
    APPLIED = 2
    SNAPSHOT = 3
    BATCH = 65
    GONE = 66
    ERROR = 70


FOLLOWER_LIMITS: Final = {
    int(JournalFrame.FOLLOW): _POSITION.size,
    int(JournalFrame.APPLIED): _APPLIED.size,
    int(JournalFrame.SNAPSHOT): _POSITION.size,
}
"""What a follower may send: the longest payload of each type."""


class Applied(NamedTuple):
    """Everything before `position` is applied; `timestamp` is the watermark."""

    position: Position
    timestamp: Timestamp


def encode_position(position: Position) -> bytes:
    """Payload of FOLLOW, SNAPSHOT and GONE."""
    return _POSITION.pack(position)


def decode_position(payload: Octets) -> Position:
    if len(payload) != _POSITION.size:
        raise Malformed("a position has the wrong length")
    return Position(_POSITION.unpack(payload)[0])


def encode_applied(applied: Applied) -> bytes:
    return _APPLIED.pack(*applied)


def decode_applied(payload: Octets) -> Applied:
    if len(payload) != _APPLIED.size:
        raise Malformed("an APPLIED has the wrong length")
    return Applied._make(_APPLIED.unpack(payload))

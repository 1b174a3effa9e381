"""Frames of the channel between two hosts (docs/formats.md, "Channel"), except the hand-over itself."""

import struct
from enum import IntEnum
from typing import Final, NewType

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import U32_MAX
from borealis.wire.frames import FRAME_HEADER, Octets, encode_frame
from borealis.wire.handover import ANSWER_LIMITS, REQUEST_LIMITS, HandOverFrame

SessionNumber = NewType("SessionNumber", int)
"""Names a session on its channel, u64; the side that opens it counts from 1."""

WINDOW_BYTES: Final = 2**18
"""What may be under way in one direction of a session, beyond what its receiver has passed on."""
DATA_BYTES_MAX: Final = 2**15
"""Longest DATA: what a session that has a lot to say holds up the others for."""

_CREDIT: Final = struct.Struct("<I")


class ChannelFrame(IntEnum):
    TAKE = HandOverFrame.TAKE
    CANCEL = HandOverFrame.CANCEL
    DATA = 3
    CREDIT = 4
    CLOSE = 5
    TAKEN = HandOverFrame.TAKEN
    REFUSED = HandOverFrame.REFUSED


_BOTH_WAYS: Final = {
    int(ChannelFrame.DATA): DATA_BYTES_MAX,
    int(ChannelFrame.CREDIT): _CREDIT.size,
    int(ChannelFrame.CLOSE): 0,
}

OPENING_LIMITS: Final = REQUEST_LIMITS | _BOTH_WAYS
"""What the side that opens sessions may send: the longest payload of each type."""

ACCEPTING_LIMITS: Final = ANSWER_LIMITS | _BOTH_WAYS
"""What the other side may send."""


def number_frame(frame: bytearray, number: SessionNumber) -> None:
    """Makes a request or an answer of the hand-over (a whole frame) one of this session, in place."""
    length, frame_type, zero, more_zero, _ = FRAME_HEADER.unpack_from(frame)
    FRAME_HEADER.pack_into(frame, 0, length, frame_type, zero, more_zero, number)


def encode_data(number: SessionNumber, data: Octets) -> bytes:
    """The whole frame."""
    return encode_frame(ChannelFrame.DATA, number, data)


def encode_credit(number: SessionNumber, count: int) -> bytes:
    """The whole frame."""
    return encode_frame(ChannelFrame.CREDIT, number, _CREDIT.pack(count))


def decode_credit(payload: Octets) -> int:
    if len(payload) != _CREDIT.size:
        raise Malformed("a CREDIT has the wrong length")
    (count,) = _CREDIT.unpack(payload)
    if not 0 < count <= U32_MAX:
        raise Malformed("a CREDIT gives nothing")
    return int(count)


def encode_close(number: SessionNumber) -> bytes:
    """The whole frame."""
    return encode_frame(ChannelFrame.CLOSE, number)

"""The hand-over of an authenticated session from the relay to a front (docs/formats.md, "Session hand-over").

Owns the frames between relay and front. Promises: what is decoded is within its bounds and consistent, and holds no
secret: the state of the TLS session, which does, is never decoded here. It is the last part of the frame, and goes from
the library that holds the keys into the buffer that is sent, and from the buffer that was received into that library
(`borealis.tls`), without ever being a `bytes` object.
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple, TypeAlias

from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.foundation.identifiers import U64_MAX, Timestamp
from borealis.wire.frames import FRAME_HEADER, FRAME_HEADER_BYTES, Octets, encode_frame, encode_frame_header

HAND_OVER_VERSION: Final = 1
HAND_OVER_BYTES_MAX: Final = 2**17
"""Payload of a TAKE."""

CLUSTER_BYTES: Final = 26
TEXT_BYTES_MAX: Final = 2048
"""Longest single text: an ARN. A name that Postgres would cut off is the relay's business."""
STARTUP_BYTES_MAX: Final = 10_000
"""All startup parameters together: no startup packet that Postgres accepts is longer."""
UNREAD_PLAINTEXT_BYTES_MAX: Final = 2**16
TLS_STATE_BYTES_MAX: Final = 2**15

_HEADER: Final = struct.Struct("<HBBIQ16sHHII26s2x")
_LENGTH: Final = struct.Struct("<H")
_CANCEL: Final = struct.Struct("<II")
_REFUSAL: Final = struct.Struct("<5sxHH")
_CLUSTER: Final = re.compile(r"[a-z0-9]{26}")
_ARN: Final = re.compile(r"arn:[!-~]+")
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_FIXED_TEXTS: Final = 4

Address: TypeAlias = IPv4Address | IPv6Address


class HandOverFrame(IntEnum):
    TAKE = 1
    CANCEL = 2
    TAKEN = 65
    REFUSED = 70


class Action(IntEnum):
    """The IAM action that the session's token was signed for, and authorized."""

    DB_CONNECT = 1
    DB_CONNECT_ADMIN = 2


class _Flag(IntFlag):
    DIRECT_TLS = 1
    ALPN_POSTGRESQL = 2


@dataclass(frozen=True, slots=True)
class HandOver:
    """Who the session belongs to and what it has said so far; nothing in it is secret."""

    cluster: str
    server_name: str
    """What the client called this server by (SNI), or ""."""
    database: str
    user: str
    startup_parameters: tuple[tuple[str, str], ...]
    """As the client sent them, in its order, without user and database."""
    protocol_version: int
    """Major version << 16 | minor version, as in the startup packet."""
    principal: str
    """ARN of the caller that the token was verified for."""
    action: Action
    client_address: Address
    client_port: int
    deadline: Timestamp
    """When the session has to end."""
    is_direct_tls: bool
    has_alpn: bool
    """`postgresql` was negotiated."""
    unread_plaintext: bytes = b""
    """What the client sent behind its password and the relay decrypted: the beginning of the front's input."""


class CancelRequest(NamedTuple):
    """Cancel what the session with this key is doing; never answered."""

    process_id: int
    secret: int


class Refusal(NamedTuple):
    """Why a front does not take a session, in the words of the error that the client is to see.

    The front has then neither written to the client's socket nor used the keys: the relay may go on with them.
    """

    sqlstate: str
    message: str
    hint: str = ""


class SealedFrame(NamedTuple):
    """A TAKE frame in which the TLS state is still missing: `tls_state` is the place for it, at the end of `frame`."""

    frame: bytearray
    tls_state: memoryview


def encode_hand_over(hand_over: HandOver, tls_state_bytes: int) -> SealedFrame:
    """The frame, with room for a TLS state of exactly this size. Raises Rejected if the session has too much to carry.

    The caller lets the TLS session export itself into the room, sends the frame, and cleanses it.
    """
    texts = [hand_over.server_name, hand_over.database, hand_over.user, hand_over.principal]
    for name, value in hand_over.startup_parameters:
        texts += (name, value)
    encoded = [text.encode() for text in texts]
    if any(len(text) > TEXT_BYTES_MAX for text in encoded[:_FIXED_TEXTS]):
        raise Rejected(Reason.TOO_LARGE, "a name is too long to be handed over")
    if sum(map(len, encoded[_FIXED_TEXTS:])) > STARTUP_BYTES_MAX:
        raise Rejected(Reason.TOO_LARGE, "the startup parameters are too long to be handed over")
    if len(hand_over.unread_plaintext) > UNREAD_PLAINTEXT_BYTES_MAX:
        raise Rejected(Reason.TOO_LARGE, "the client sent too much before it was let in")
    if not 0 < tls_state_bytes <= TLS_STATE_BYTES_MAX:
        raise ValueError(f"a TLS state cannot be {tls_state_bytes} bytes long")
    body = b"".join(
        (
            _pack_header(hand_over, tls_state_bytes),
            *(_LENGTH.pack(len(text)) + text for text in encoded),
            hand_over.unread_plaintext,
        )
    )
    length = len(body) + tls_state_bytes
    # Allocated once at its full size: a buffer that grew would leave copies behind.
    frame = bytearray(FRAME_HEADER_BYTES + length)
    frame[:FRAME_HEADER_BYTES] = encode_frame_header(HandOverFrame.TAKE, 0, length)
    frame[FRAME_HEADER_BYTES:-tls_state_bytes] = body
    return SealedFrame(frame, memoryview(frame)[-tls_state_bytes:])


def _pack_header(hand_over: HandOver, tls_state_bytes: int) -> bytes:
    address = hand_over.client_address
    if isinstance(address, IPv4Address):
        address = IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    flags = _Flag.DIRECT_TLS * hand_over.is_direct_tls | _Flag.ALPN_POSTGRESQL * hand_over.has_alpn
    return _HEADER.pack(
        HAND_OVER_VERSION,
        hand_over.action,
        flags,
        hand_over.protocol_version,
        hand_over.deadline,
        address.packed,
        hand_over.client_port,
        len(hand_over.startup_parameters),
        len(hand_over.unread_plaintext),
        tls_state_bytes,
        hand_over.cluster.encode("ascii"),
    )


def decode_hand_over(payload: memoryview) -> tuple[HandOver, memoryview]:
    """The session and the part of `payload` that holds its TLS state. Raises Malformed."""
    if not _HEADER.size <= len(payload) <= HAND_OVER_BYTES_MAX:
        raise Malformed("a hand-over has a length out of range")
    fields = _HEADER.unpack_from(payload)
    version, action, flags, protocol_version, deadline, address, port, parameters, unread, tls_bytes, cluster = fields
    if version != HAND_OVER_VERSION:
        raise Malformed(f"version {version} of the hand-over is not known")
    if action not in Action.__members__.values() or flags > sum(_Flag) or any(payload[_HEADER.size - 2 : _HEADER.size]):
        raise Malformed("an action or flag of a hand-over is not known")
    if not 0 < deadline <= U64_MAX or not 0 < tls_bytes <= TLS_STATE_BYTES_MAX or unread > UNREAD_PLAINTEXT_BYTES_MAX:
        raise Malformed("a deadline or length of a hand-over is out of range")
    texts, at = _decode_texts(payload, _FIXED_TEXTS + 2 * parameters)
    if at + unread + tls_bytes != len(payload):
        raise Malformed("the parts of a hand-over do not add up to its length")
    server_name, database, user, principal = texts[:_FIXED_TEXTS]
    if not database or not user or not _ARN.fullmatch(principal):
        raise Malformed("a hand-over names no database, user or principal")
    hand_over = HandOver(
        _decode_cluster(cluster),
        server_name,
        database,
        user,
        _decode_parameters(texts[_FIXED_TEXTS:]),
        protocol_version,
        principal,
        Action(action),
        _decode_address(address),
        port,
        Timestamp(deadline),
        bool(flags & _Flag.DIRECT_TLS),
        bool(flags & _Flag.ALPN_POSTGRESQL),
        bytes(payload[at : at + unread]),
    )
    return hand_over, payload[at + unread :]


def _decode_texts(payload: memoryview, count: int) -> tuple[list[str], int]:
    at = _HEADER.size
    if count * _LENGTH.size > len(payload) - at:
        raise Malformed("a hand-over is too short for its startup parameters")
    texts = []
    for _ in range(count):
        if at + _LENGTH.size > len(payload):
            raise Malformed("a text of a hand-over is cut off")
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        if length > STARTUP_BYTES_MAX or at + length > len(payload):
            raise Malformed("a text of a hand-over is too long")
        try:
            text = str(payload[at : at + length], "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a text of a hand-over is not UTF-8") from error
        if "\0" in text:
            raise Malformed("a text of a hand-over holds a zero byte")
        texts.append(text)
        at += length
    if any(len(text.encode()) > TEXT_BYTES_MAX for text in texts[:_FIXED_TEXTS]):
        raise Malformed("a name of a hand-over is too long")
    return texts, at


def _decode_parameters(texts: list[str]) -> tuple[tuple[str, str], ...]:
    names, values = texts[::2], texts[1::2]
    if not all(names) or "user" in names or "database" in names:
        raise Malformed("a startup parameter of a hand-over has no name, or one that is told apart")
    if sum(len(text.encode()) for text in texts) > STARTUP_BYTES_MAX:
        raise Malformed("the startup parameters of a hand-over are too long")
    return tuple(zip(names, values, strict=True))


def _decode_cluster(cluster: bytes) -> str:
    text = cluster.decode("latin-1")
    if not _CLUSTER.fullmatch(text):
        raise Malformed("a hand-over does not name a cluster")
    return text


def _decode_address(packed: bytes) -> Address:
    address = ip_address(packed)
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def encode_cancel(cancel: CancelRequest) -> bytes:
    """The whole frame."""
    return encode_frame(HandOverFrame.CANCEL, 0, _CANCEL.pack(*cancel))


def decode_cancel(payload: Octets) -> CancelRequest:
    if len(payload) != _CANCEL.size:
        raise Malformed("a CANCEL has the wrong length")
    return CancelRequest._make(_CANCEL.unpack(payload))


def encode_taken() -> bytes:
    """The whole frame."""
    return encode_frame(HandOverFrame.TAKEN, 0)


def encode_refused(refusal: Refusal) -> bytes:
    """The whole frame; texts that are too long are cut at a character."""
    message, hint = (
        text.encode()[:TEXT_BYTES_MAX].decode(errors="ignore").encode() for text in (refusal.message, refusal.hint)
    )
    header = _REFUSAL.pack(refusal.sqlstate.encode("ascii"), len(message), len(hint))
    return encode_frame(HandOverFrame.REFUSED, 0, header + message + hint)


def decode_hand_over_answer(frame_type: int, payload: Octets) -> Refusal | None:
    """None for TAKEN. Raises Malformed."""
    if frame_type == HandOverFrame.TAKEN:
        if payload:
            raise Malformed("a TAKEN is not empty")
        return None
    if frame_type != HandOverFrame.REFUSED or len(payload) < _REFUSAL.size:
        raise Malformed("an answer to a hand-over is not known, or cut off")
    sqlstate, message_bytes, hint_bytes = _REFUSAL.unpack_from(payload)
    at = _REFUSAL.size
    if at + message_bytes + hint_bytes != len(payload) or max(message_bytes, hint_bytes) > TEXT_BYTES_MAX:
        raise Malformed("the texts of a refusal do not add up to its length")
    code = sqlstate.decode("latin-1")
    if not _SQLSTATE.fullmatch(code):
        raise Malformed("a refusal has no SQLSTATE")
    message = bytes(payload[at : at + message_bytes]).decode(errors="replace")
    return Refusal(code, message, bytes(payload[at + message_bytes :]).decode(errors="replace"))


REQUEST_LIMITS: Final = {
    int(HandOverFrame.TAKE): HAND_OVER_BYTES_MAX,
    int(HandOverFrame.CANCEL): _CANCEL.size,
}
"""What a relay may send: the longest payload of each type."""

ANSWER_LIMITS: Final = {
    int(HandOverFrame.TAKEN): 0,
    int(HandOverFrame.REFUSED): _REFUSAL.size + 2 * TEXT_BYTES_MAX,
}
"""What a front may answer."""


class HandOverReader:
    """Takes requests off a front's socket without leaving secrets behind, and without reading into the next request.

    The socket is read straight into `space()`; a frame is handed out as a view of that buffer, which the receiver
    cleanses when it has taken the TLS state. So the file descriptor that comes with a frame's first byte comes with
    the read that completes or begins its header, never in the middle of another frame. After a frame, read on with a
    new reader.
    """

    __slots__ = ("_buffer", "_filled")

    def __init__(self) -> None:
        self._buffer = bytearray(FRAME_HEADER_BYTES)
        self._filled = 0

    def space(self) -> memoryview:
        """Where the next bytes belong; never empty before the frame is complete."""
        return memoryview(self._buffer)[self._filled :]

    def received(self, count: int) -> tuple[HandOverFrame, memoryview] | None:
        """After `count` bytes were read into `space()`: the frame, if it is complete. Raises Malformed or Rejected."""
        self._filled += count
        if self._filled < len(self._buffer):
            return None
        length, frame_type, zero, more_zero, request = FRAME_HEADER.unpack_from(self._buffer)
        if self._filled == FRAME_HEADER_BYTES:
            limit = REQUEST_LIMITS.get(frame_type)
            if limit is None or zero or more_zero or request:
                raise Malformed("the header of a hand-over's frame is not known")
            if length > limit:
                raise Rejected(Reason.TOO_LARGE, f"a hand-over of {length} bytes is over the limit of {limit}")
            if length:
                header = bytes(self._buffer)
                self._buffer = bytearray(FRAME_HEADER_BYTES + length)
                self._buffer[:FRAME_HEADER_BYTES] = header
                return None
        return HandOverFrame(frame_type), memoryview(self._buffer)[FRAME_HEADER_BYTES:]

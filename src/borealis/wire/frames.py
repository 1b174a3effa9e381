"""Frames: the unit of every stream between processes (docs/formats.md, "Commit socket").

Owns the 16-byte header and the cutting of a byte stream into frames. Promises: a reader never holds more bytes than
really arrived, whatever a header announces, and refuses a type or a length that its owner did not allow as soon as it
has seen the header.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.foundation.identifiers import U32_MAX

Octets: TypeAlias = bytes | bytearray | memoryview

FRAME_HEADER: Final = struct.Struct("<IBBHQ")
FRAME_HEADER_BYTES: Final = FRAME_HEADER.size
PAYLOAD_BYTES_MAX: Final = U32_MAX


class Frame(NamedTuple):
    type: int
    request: int
    payload: Octets


def encode_frame(frame_type: int, request: int, payload: Octets = b"") -> bytes:
    return b"".join((FRAME_HEADER.pack(len(payload), frame_type, 0, 0, request), payload))


def encode_frame_header(frame_type: int, request: int, payload_bytes: int) -> bytes:
    """The header alone, for a payload that is streamed behind it."""
    return FRAME_HEADER.pack(payload_bytes, frame_type, 0, 0, request)


class FrameReader:
    """Cuts a stream into frames. `limits` gives, for each type that may arrive, the longest payload in bytes."""

    __slots__ = ("_limits", "_partial")

    def __init__(self, limits: Mapping[int, int]) -> None:
        self._limits = limits
        self._partial = bytearray()

    @property
    def buffered_bytes(self) -> int:
        return len(self._partial)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`, in order. Raises Malformed, or Rejected for a payload over its limit."""
        frames: list[Frame] = []
        buffer: bytes | bytearray = data
        if self._partial:
            self._partial += data
            buffer = self._partial
        start, available = 0, len(buffer)
        while available - start >= FRAME_HEADER_BYTES:
            length, frame_type, zero, more_zero, request = FRAME_HEADER.unpack_from(buffer, start)
            if zero or more_zero:
                raise Malformed("the reserved bytes of a frame header are not zero")
            limit = self._limits.get(frame_type)
            if limit is None:
                raise Malformed(f"frame type {frame_type} is not known here")
            if length > limit:
                raise Rejected(Reason.TOO_LARGE, f"a payload of {length} bytes is over the limit of {limit}")
            end = start + FRAME_HEADER_BYTES + length
            if end > available:
                break
            frames.append(Frame(frame_type, request, self._cut(buffer, start + FRAME_HEADER_BYTES, end)))
            start = end
        self._keep(buffer, start)
        return frames

    @staticmethod
    def _cut(buffer: bytes | bytearray, start: int, end: int) -> bytes:
        if type(buffer) is bytes:
            return buffer[start:end]
        with memoryview(buffer) as view:
            return bytes(view[start:end])

    def _keep(self, buffer: bytes | bytearray, start: int) -> None:
        if buffer is self._partial:
            if start == len(buffer):
                self._partial = bytearray()  # a new one: clear() would be as cheap, but a giant would stay allocated
            elif start:
                del self._partial[:start]
        elif start < len(buffer):
            self._partial += memoryview(buffer)[start:]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.wire.frames import FRAME_HEADER, FRAME_HEADER_BYTES, Frame, FrameReader, encode_frame, encode_frame_header

LIMITS = {1: 10, 2: 5000}
FRAMES = st.lists(
    st.tuples(st.just(1), st.integers(0, 2**64 - 1), st.binary(max_size=10))
    | st.tuples(st.just(2), st.integers(0, 2**64 - 1), st.binary(max_size=300)),
    max_size=8,
)


@given(FRAMES, st.lists(st.integers(1, 200), max_size=60))
def test_a_stream_is_cut_into_its_frames_however_it_arrives(
    frames: list[tuple[int, int, bytes]], pieces: list[int]
) -> None:
    stream = b"".join(encode_frame(*frame) for frame in frames)
    reader = FrameReader(LIMITS)
    found: list[Frame] = []
    at = 0
    for piece in [*pieces, len(stream)]:
        found += reader.feed(stream[at : at + piece])
        at += piece
    assert [(frame.type, frame.request, bytes(frame.payload)) for frame in found] == frames
    assert reader.buffered_bytes == 0


@pytest.mark.parametrize(
    "header",
    [
        FRAME_HEADER.pack(0, 1, 1, 0, 0),
        FRAME_HEADER.pack(0, 1, 0, 1, 0),
        FRAME_HEADER.pack(0, 3, 0, 0, 0),
    ],
)
def test_a_header_that_breaks_a_rule_is_malformed(header: bytes) -> None:
    with pytest.raises(Malformed):
        FrameReader(LIMITS).feed(header)


def test_a_length_over_the_limit_is_refused_before_its_bytes_arrive() -> None:
    with pytest.raises(Rejected) as refused:
        FrameReader(LIMITS).feed(FRAME_HEADER.pack(5001, 2, 0, 0, 0))
    assert refused.value.reason is Reason.TOO_LARGE


def test_an_announced_length_takes_no_memory() -> None:
    reader = FrameReader({2: 2**32 - 1})
    assert reader.feed(FRAME_HEADER.pack(2**32 - 1, 2, 0, 0, 0) + b"x" * 10) == []
    assert reader.buffered_bytes == FRAME_HEADER_BYTES + 10


def test_a_header_alone_begins_the_same_frame() -> None:
    assert encode_frame_header(2, 9, 3) + b"abc" == encode_frame(2, 9, b"abc")

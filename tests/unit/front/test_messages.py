"""A client's stream is cut at its messages wherever it is torn, and ends at what Postgres would refuse."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.front import messages
from borealis.front.messages import (
    CONTINUATION,
    HEADER,
    PIECE_BYTES,
    ProtocolViolation,
    RequestReader,
    count_first_answered,
    error_response,
    message,
    read_columns,
    refuse_requests,
)

KINDS = st.sampled_from(list(b"BCDEFPQXcdf"))
MESSAGES = st.lists(
    st.one_of(st.builds(message, KINDS, st.binary(max_size=50)), st.builds(message, st.sampled_from(list(b"HS")))),
    max_size=20,
)


@given(MESSAGES, st.lists(st.integers(1, 30), min_size=1))
def test_pieces_do_not_matter(whole: list[bytes], sizes: list[int]) -> None:
    stream, reader, seen, at = b"".join(whole), RequestReader(), [], 0
    while at < len(stream):
        size = sizes[len(seen) % len(sizes)]
        seen += reader.feed(stream[at : at + size])
        at += size
    assert seen == [(octets[0], octets) for octets in whole]
    assert reader.buffered_bytes == 0


@given(st.binary(max_size=200))
def test_garbage_ends_in_a_violation_at_worst(data: bytes) -> None:
    reader = RequestReader()
    with suppress(ProtocolViolation):
        reader.feed(data)
    assert reader.buffered_bytes <= len(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"z\0\0\0\4", "invalid frontend message type 122"),
        (b"Q\0\0\0\3", "invalid message length"),
        (b"S\0\0\xff\xff", "invalid message length"),
        (b"S\0\0\0\x05x", "invalid message format"),
        (b"Q\x7f\xff\xff\xff", "invalid message length"),
    ],
)
def test_what_postgres_refuses(data: bytes, text: str) -> None:
    with pytest.raises(ProtocolViolation, match=text):
        RequestReader().feed(data)


def test_a_large_message_is_passed_on_in_pieces() -> None:
    reader, large = RequestReader(), message(messages.QUERY, bytes(10 * PIECE_BYTES))
    first = reader.feed(large[: PIECE_BYTES + 1])
    assert first == [(messages.QUERY, large[: PIECE_BYTES + 1])]
    assert reader.is_within_message
    rest = reader.feed(large[PIECE_BYTES + 1 :] + message(messages.SYNC))
    assert rest == [(CONTINUATION, large[PIECE_BYTES + 1 :]), (messages.SYNC, message(messages.SYNC))]
    assert not reader.is_within_message
    assert reader.buffered_bytes == 0


def test_a_small_message_is_waited_for() -> None:
    reader, small = RequestReader(), message(messages.QUERY, bytes(PIECE_BYTES // 2))
    assert reader.feed(small[:-1]) == []
    assert not reader.is_within_message
    assert reader.feed(small[-1:]) == [(messages.QUERY, small)]


def test_requests_are_refused_one_by_one() -> None:
    error = error_response("ERROR", "XX000", "server unavailable")
    ready = messages.ready_for_query(messages.IDLE)
    query, parse, sync = ((kind, b"") for kind in (messages.QUERY, messages.PARSE, messages.SYNC))
    assert refuse_requests([query, parse, sync], error, messages.IDLE) == (error + ready) * 2
    assert refuse_requests([query, parse], error, messages.IDLE) is None


def test_what_is_answered_first_is_a_query_or_a_batch() -> None:
    query, parse, sync, more = (
        (kind, b"") for kind in (messages.QUERY, messages.PARSE, messages.SYNC, messages.CONTINUATION)
    )
    assert count_first_answered([query, query]) == 1
    assert count_first_answered([query, more, more, parse]) == 3
    assert count_first_answered([parse, more, parse, sync, query]) == 4
    assert count_first_answered([parse, parse]) == 0
    assert count_first_answered([]) == 0


def test_a_row_is_read_and_a_damaged_one_is_not() -> None:
    row = b"\0\3" + b"\0\0\0\1a" + b"\xff\xff\xff\xff" + b"\0\0\0\0"
    assert read_columns(row) == [b"a", None, b""]
    for damaged in (b"", b"\0\1", row[:-1], row + b"x", b"\0\1\0\0\0\5a"):
        with pytest.raises(ProtocolViolation):
            read_columns(damaged)


def test_errors_can_be_read_again() -> None:
    octets = error_response("FATAL", "08006", "no", hint="try")
    assert HEADER.unpack_from(octets) == (messages.ERROR, len(octets) - 1)
    fields = messages.read_error(octets[messages.HEADER_BYTES :])
    assert fields == {"S": "FATAL", "V": "FATAL", "C": "08006", "M": "no", "H": "try"}

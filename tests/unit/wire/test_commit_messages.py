from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed, Reason
from borealis.foundation.identifiers import CatalogVersion, Relfilenode, Timestamp, TransactionId
from borealis.wire.commit_messages import (
    Answer,
    Committed,
    Hello,
    HelloAnswer,
    OutcomeQuery,
    OutcomeUnknown,
    Refused,
    Reserved,
    SequenceCall,
    SequenceGrant,
    SequenceOperation,
    decode_answer,
    decode_hello,
    decode_outcome_query,
    decode_refusal,
    decode_reservation,
    decode_sequence_call,
    encode_answer,
    encode_error,
    encode_hello,
    encode_outcome_query,
    encode_reservation,
    encode_sequence_call,
)
from borealis.wire.frames import FrameReader

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
ALL_FRAMES = dict.fromkeys(range(256), 2**17)


@st.composite
def sequence_calls(draw: st.DrawFn) -> SequenceCall:
    minimum, start, maximum = sorted(draw(st.tuples(I64, I64, I64)))
    return SequenceCall(
        Relfilenode(draw(st.integers(1, 2**32 - 1))),
        draw(st.sampled_from(SequenceOperation)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        start,
        draw(I64.filter(bool)),
        minimum,
        maximum,
        draw(st.integers(minimum, maximum)),
        draw(st.integers(1, 2**64 - 1)),
    )


ANSWERS = st.one_of(
    st.builds(Committed, U64.map(Timestamp), U64.map(CatalogVersion)),
    st.builds(Refused, st.sampled_from(Reason), st.text(max_size=40)),
    st.just(OutcomeUnknown()),
    st.just(Reserved()),
    st.builds(SequenceGrant, I64, U64, st.booleans()),
    st.builds(HelloAnswer, U64.map(Timestamp), U64),
)


@given(ANSWERS, U64)
def test_answers_survive_the_wire(answer: Answer, request: int) -> None:
    (frame,) = FrameReader(ALL_FRAMES).feed(encode_answer(request, answer))
    assert frame.request == request
    assert decode_answer(frame.type, frame.payload) == answer


@given(sequence_calls())
def test_sequence_calls_survive_the_wire(call: SequenceCall) -> None:
    assert decode_sequence_call(encode_sequence_call(call)) == call


@given(st.binary(max_size=60), st.integers(0, 255))
def test_garbage_is_malformed_and_nothing_else(payload: bytes, frame_type: int) -> None:
    for decode in (decode_hello, decode_outcome_query, decode_sequence_call, decode_reservation, decode_refusal):
        with suppress(Malformed):
            decode(payload)
    with suppress(Malformed):
        decode_answer(frame_type, payload)


@given(st.lists(st.integers(1, 2**32 - 1).map(Relfilenode), min_size=1, max_size=20))
def test_reservations_survive_the_wire(tables: list[Relfilenode]) -> None:
    assert decode_reservation(encode_reservation(tables)) == tables


@pytest.mark.parametrize("payload", [b"", b"abc", bytes(4), b"\1\0\0\0" * 16_385])
def test_a_reservation_of_nothing_or_too_much_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode_reservation(payload)


def test_hello_and_outcome_survive_the_wire() -> None:
    assert decode_hello(encode_hello(Hello(1, 7))) == Hello(1, 7)
    query = OutcomeQuery(TransactionId(bytes(16)), Timestamp(5))
    assert decode_outcome_query(encode_outcome_query(query)) == query


@pytest.mark.parametrize(
    ("field", "value"),
    [("increment", 0), ("minimum", 5), ("maximum", -5), ("value", 1000), ("wanted", 0), ("relfilenode", 0)],
)
def test_a_sequence_call_that_contradicts_itself_is_malformed(field: str, value: int) -> None:
    sound = SequenceCall(Relfilenode(1), SequenceOperation.NEXT, False, False, False, 1, 1, 0, 100, 1, 1)
    operation = SequenceOperation.SET if field == "value" else SequenceOperation.NEXT
    with pytest.raises(Malformed):
        decode_sequence_call(encode_sequence_call(sound._replace(**{"operation": operation, field: value})))


def test_a_refusal_of_any_length_is_cut_at_a_character() -> None:
    (frame,) = FrameReader(ALL_FRAMES).feed(encode_error(3, Reason.TOO_LARGE, "ä" * 40_000))
    refusal = decode_refusal(frame.payload)
    assert refusal.reason is Reason.TOO_LARGE
    assert set(refusal.text) == {"ä"}

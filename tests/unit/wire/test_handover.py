from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed, Reason, Rejected
from borealis.foundation.identifiers import Timestamp
from borealis.wire.frames import FRAME_HEADER, FRAME_HEADER_BYTES, FrameReader
from borealis.wire.handover import (
    ANSWER_LIMITS,
    Action,
    CancelRequest,
    HandOver,
    HandOverFrame,
    HandOverReader,
    Refusal,
    decode_cancel,
    decode_hand_over,
    decode_hand_over_answer,
    encode_cancel,
    encode_hand_over,
    encode_refused,
    encode_taken,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
HAND_OVERS = st.builds(
    HandOver,
    cluster=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=26, max_size=26),
    server_name=TEXT | st.just(""),
    database=TEXT,
    user=TEXT,
    startup_parameters=st.lists(
        st.tuples(TEXT.filter(lambda name: name not in ("user", "database")), TEXT | st.just("")), max_size=6
    ).map(tuple),
    protocol_version=st.integers(0, 2**32 - 1),
    principal=st.text("abcXYZ0129:/-_*", min_size=1, max_size=40).map("arn:".__add__),
    action=st.sampled_from(Action),
    client_address=st.integers(0, 2**32 - 1).map(IPv4Address)
    | st.integers(2**64, 2**128 - 1).map(IPv6Address).filter(lambda address: address.ipv4_mapped is None),
    client_port=st.integers(0, 2**16 - 1),
    deadline=st.integers(1, 2**64 - 1).map(Timestamp),
    is_direct_tls=st.booleans(),
    has_alpn=st.booleans(),
    unread_plaintext=st.binary(max_size=200),
)
SAMPLE = HandOver(
    cluster="a" * 26,
    server_name="a.dsql.us-east-1.localhost",
    database="postgres",
    user="admin",
    startup_parameters=(("application_name", "psql"),),
    protocol_version=3 << 16,
    principal="arn:aws:iam::000000000000:user/admin",
    action=Action.DB_CONNECT_ADMIN,
    client_address=IPv4Address("127.0.0.1"),
    client_port=40000,
    deadline=Timestamp(1),
    is_direct_tls=True,
    has_alpn=True,
    unread_plaintext=b"unread",
)


def payload_of(hand_over: HandOver, state: bytes = b"state") -> bytearray:
    sealed = encode_hand_over(hand_over, len(state))
    sealed.tls_state[:] = state
    return sealed.frame[FRAME_HEADER_BYTES:]


@given(HAND_OVERS, st.binary(min_size=1, max_size=300))
def test_a_session_survives_the_wire(hand_over: HandOver, state: bytes) -> None:
    decoded, tls_state = decode_hand_over(memoryview(payload_of(hand_over, state)))
    assert decoded == hand_over
    assert bytes(tls_state) == state


@given(HAND_OVERS, st.integers(1, 40), st.lists(st.integers(1, 64), min_size=1, max_size=30))
def test_frames_arrive_in_pieces_of_any_size(hand_over: HandOver, state_bytes: int, pieces: list[int]) -> None:
    stream = encode_hand_over(hand_over, state_bytes).frame + encode_cancel(CancelRequest(7, 2**32 - 1))
    frames, at, step = [], 0, 0
    reader = HandOverReader()
    while at < len(stream):
        space = reader.space()
        assert len(space) > 0
        piece = stream[at : at + min(len(space), pieces[step % len(pieces)])]
        space[: len(piece)] = piece
        at, step = at + len(piece), step + 1
        if (frame := reader.received(len(piece))) is not None:
            frames.append(frame)
            reader = HandOverReader()
    assert [frame_type for frame_type, _ in frames] == [HandOverFrame.TAKE, HandOverFrame.CANCEL]
    assert decode_hand_over(frames[0][1])[0] == hand_over
    assert decode_cancel(frames[1][1]) == CancelRequest(7, 2**32 - 1)


def test_the_received_state_can_be_cleansed_in_place() -> None:
    received = payload_of(SAMPLE, b"secret")
    _, tls_state = decode_hand_over(memoryview(received))
    tls_state[:] = bytes(len(tls_state))
    assert b"secret" not in received


@given(st.binary(max_size=400))
def test_garbage_is_malformed_and_nothing_else(payload: bytes) -> None:
    with suppress(Malformed):
        decode_hand_over(memoryview(payload))
    with suppress(Malformed):
        decode_cancel(payload)
    for frame_type in HandOverFrame:
        with suppress(Malformed):
            decode_hand_over_answer(frame_type, payload)


@given(st.data())
def test_a_damaged_session_is_malformed_or_still_in_bounds(data: st.DataObject) -> None:
    payload = payload_of(SAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Malformed):
        decoded, tls_state = decode_hand_over(memoryview(payload))
        assert payload_of(decoded, bytes(tls_state)) == payload


@given(st.integers(0, 500))
def test_a_session_that_is_cut_off_is_malformed(length: int) -> None:
    payload = payload_of(SAMPLE)
    if length < len(payload):
        with pytest.raises(Malformed):
            decode_hand_over(memoryview(payload)[:length])


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": "A" * 26},
        {"user": ""},
        {"database": ""},
        {"user": "a\0b"},
        {"principal": "nobody"},
        {"deadline": 0},
        {"startup_parameters": (("", "x"),)},
        {"startup_parameters": (("user", "admin"),)},
        {"startup_parameters": (("a", "b\0c"),)},
    ],
)
def test_a_session_that_breaks_a_rule_is_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode_hand_over(memoryview(payload_of(replace(SAMPLE, **changes))))


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "u" * 2049},
        {"startup_parameters": tuple((f"name{i}", "v" * 1000) for i in range(10))},
        {"unread_plaintext": bytes(2**16 + 1)},
    ],
)
def test_a_session_with_too_much_to_carry_is_refused_before_it_is_sent(changes: dict[str, object]) -> None:
    with pytest.raises(Rejected) as refused:
        encode_hand_over(replace(SAMPLE, **changes), 10)
    assert refused.value.reason is Reason.TOO_LARGE


def test_a_header_that_announces_too_much_is_refused_before_its_bytes_arrive() -> None:
    for header in (FRAME_HEADER.pack(2**17 + 1, 1, 0, 0, 0), FRAME_HEADER.pack(9, 2, 0, 0, 0)):
        reader = HandOverReader()
        reader.space()[:] = header
        with pytest.raises(Rejected):
            reader.received(len(header))


@given(st.builds(Refusal, st.text("0123456789ABCXYZ", min_size=5, max_size=5), TEXT, TEXT | st.just("")))
def test_answers_survive_the_wire(refusal: Refusal) -> None:
    reader = FrameReader(ANSWER_LIMITS)
    taken, refused = reader.feed(encode_taken() + encode_refused(refusal))
    assert decode_hand_over_answer(taken.type, taken.payload) is None
    assert decode_hand_over_answer(refused.type, refused.payload) == refusal

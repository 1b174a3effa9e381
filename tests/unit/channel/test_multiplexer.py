"""Two ends of a channel, with frames under way between them, driven step by step."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.channel import multiplexer
from borealis.channel.multiplexer import (
    Answered,
    Cancelled,
    Closed,
    Credited,
    Event,
    Multiplexer,
    Offered,
    Received,
)
from borealis.foundation.errors import Malformed, Rejected
from borealis.wire.channel_frames import (
    DATA_BYTES_MAX,
    WINDOW_BYTES,
    ChannelFrame,
    SessionNumber,
    encode_close,
    encode_credit,
    encode_data,
)
from borealis.wire.frames import encode_frame
from borealis.wire.handover import CancelRequest, Refusal, encode_cancel, encode_taken

REFUSAL = Refusal("53300", "Unable to accept connection, too many open connections.")


def offer(end: Multiplexer, payload: bytes = b"who it is") -> tuple[SessionNumber, bytes]:
    frame = bytearray(encode_frame(ChannelFrame.TAKE, 0, payload))
    number = end.offer(frame)
    return number, bytes(frame)


def connect() -> tuple[Multiplexer, Multiplexer, SessionNumber]:
    """Two ends with one session that was taken."""
    opening, accepting = Multiplexer(opens=True), Multiplexer(opens=False)
    number, frame = offer(opening)
    assert accepting.receive(frame) == [Offered(number, b"who it is")]
    assert opening.receive(accepting.take(number)) == [Answered(number, None)]
    return opening, accepting, number


def test_a_session_from_the_offer_to_its_end() -> None:
    opening, accepting, number = connect()
    assert accepting.receive(opening.send(number, b"request")) == [Received(number, b"request")]
    assert opening.receive(accepting.send(number, b"answer")) == [Received(number, b"answer")]
    # Closed by one side while the other still sends.
    late = opening.send(number, b"late")
    assert opening.receive(accepting.close(number)) == [Closed(number)]
    assert accepting.receive(late) == []
    assert (opening.send(number, b"x"), opening.close(number), accepting.close(number)) == (b"", b"", b"")
    assert len(opening) == len(accepting) == 0


def test_a_session_that_is_refused_is_gone() -> None:
    opening, accepting = Multiplexer(opens=True), Multiplexer(opens=False)
    number, frame = offer(opening)
    accepting.receive(frame)
    assert opening.receive(accepting.refuse(number, REFUSAL)) == [Answered(number, REFUSAL)]
    assert len(opening) == len(accepting) == 0
    assert accepting.take(number) == b""


def test_a_cancel_request_belongs_to_no_session() -> None:
    assert Multiplexer(opens=False).receive(encode_cancel(CancelRequest(1, 2))) == [Cancelled(CancelRequest(1, 2))]


def test_a_window_is_sent_and_no_more_until_it_is_passed_on() -> None:
    opening, accepting, number = connect()
    sent = 0
    while size := min(opening.sendable(number), DATA_BYTES_MAX):
        accepting.receive(opening.send(number, bytes(size)))
        sent += size
    assert sent == WINDOW_BYTES
    with pytest.raises(ValueError, match="more than it may"):
        opening.send(number, b"x")
    credit = accepting.passed_on(number, WINDOW_BYTES)
    assert opening.receive(credit) == [Credited(number)]
    assert opening.sendable(number) == WINDOW_BYTES


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 4), st.sampled_from(["send", "pass on", "close", "deliver"])),
        max_size=80,
    ),
    size=st.integers(1, DATA_BYTES_MAX),
)
def test_whatever_the_order_all_arrives_in_its_window(steps: list[tuple[bool, int, str]], size: int) -> None:
    ends = {True: Multiplexer(opens=True), False: Multiplexer(opens=False)}
    numbers = []
    for _ in range(5):
        number, frame = offer(ends[True])
        ends[False].receive(frame)
        ends[True].receive(ends[False].take(number))
        numbers.append(number)
    under_way: dict[bool, deque[bytes]] = {True: deque(), False: deque()}
    sent = {(side, number): 0 for side in ends for number in numbers}
    got = dict(sent)
    held = dict(sent)
    closed: set[SessionNumber] = set()

    def deliver(side: bool) -> None:
        for event in ends[not side].receive(under_way[side].popleft()):
            if isinstance(event, Received):
                got[side, event.number] += len(event.data)
                held[not side, event.number] += len(event.data)
                assert held[not side, event.number] <= WINDOW_BYTES

    for side, index, step in steps:
        number = numbers[index]
        if step == "send" and (count := min(size, ends[side].sendable(number))):
            under_way[side].append(ends[side].send(number, bytes(count)))
            sent[side, number] += count
        elif step == "pass on":
            under_way[side].append(ends[side].passed_on(number, held[side, number]))
            held[side, number] = 0
        elif step == "close":
            under_way[side].append(ends[side].close(number))
            closed.add(number)
        elif step == "deliver" and under_way[side]:
            deliver(side)
    for side in ends:
        while under_way[side]:
            deliver(side)
    for number in set(numbers) - closed:
        for side in ends:
            assert got[side, number] == sent[side, number]
    assert len(ends[True]) == len(ends[False]) == len(set(numbers) - closed)


def _taken(number: int) -> bytes:
    return encode_frame(ChannelFrame.TAKEN, number, encode_taken()[16:])


def test_an_opening_end_breaks_the_protocol() -> None:
    number = SessionNumber(1)
    for stream in (
        encode_frame(ChannelFrame.TAKE, 2, b"not the next one"),
        encode_frame(ChannelFrame.TAKE, 0, b""),
        _taken(1),
        encode_data(number, b"never opened"),
        encode_close(SessionNumber(0)),
        encode_frame(ChannelFrame.TAKE, 1, b"") + encode_data(number, b"not taken yet"),
        encode_frame(ChannelFrame.CANCEL, 1, bytes(8)),
        encode_frame(ChannelFrame.CANCEL, 0, bytes(7)),
        encode_frame(99, 0),
    ):
        with pytest.raises(Malformed):
            Multiplexer(opens=False).receive(stream)
    with pytest.raises(Rejected):
        Multiplexer(opens=False).receive(encode_frame(ChannelFrame.DATA, 1, bytes(DATA_BYTES_MAX + 1)))


def test_an_accepting_end_breaks_the_protocol() -> None:
    for stream in (
        encode_frame(ChannelFrame.TAKE, 2, b"it may not offer"),
        _taken(1),
        encode_data(SessionNumber(1), b""),
        encode_credit(SessionNumber(1), 1),
        encode_frame(ChannelFrame.CREDIT, 1, bytes(4)),
        encode_frame(ChannelFrame.CREDIT, 1, bytes(3)),
    ):
        opening, _, _ = connect()
        with pytest.raises(Malformed):
            opening.receive(stream)


def test_more_than_its_window_ends_the_channel() -> None:
    _, accepting, number = connect()
    frame = encode_data(number, bytes(DATA_BYTES_MAX))
    for _ in range(WINDOW_BYTES // DATA_BYTES_MAX):
        accepting.receive(frame)
    with pytest.raises(Malformed, match="window"):
        accepting.receive(encode_data(number, b"x"))


def test_there_is_a_bound_of_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexer, "SESSIONS_MAX", 2)
    accepting = Multiplexer(opens=False)
    opening = Multiplexer(opens=True)
    for _ in range(2):
        accepting.receive(offer(opening)[1])
    with pytest.raises(ValueError, match="no session"):
        offer(opening)
    with pytest.raises(Malformed, match="too many"):
        accepting.receive(encode_frame(ChannelFrame.TAKE, 3, b""))


@given(st.lists(st.binary(max_size=100), max_size=10), st.booleans())
def test_garbage_ends_a_channel_or_waits(pieces: list[bytes], opens: bool) -> None:
    end = Multiplexer(opens=opens)
    events: list[Event] = []
    with suppress(Rejected):
        for piece in pieces:
            events += end.receive(piece)

"""Many sessions on one channel: which frames may come now, and how much of each session may be under way.

Pure: bytes and calls in, events and frames to send out, in order. Each end has one. Promises: what a peer sends is held
to the protocol, and no session can make this end hold more than its window; a session that does not read does not hold
up the others. A closed session's number is never used again, so that frames which were under way when it was closed are
known for what they are, and dropped.
"""

from typing import Final, NamedTuple, TypeAlias

from borealis.foundation.errors import Malformed
from borealis.wire.channel_frames import (
    ACCEPTING_LIMITS,
    OPENING_LIMITS,
    WINDOW_BYTES,
    ChannelFrame,
    SessionNumber,
    decode_credit,
    encode_close,
    encode_credit,
    encode_data,
    number_frame,
)
from borealis.wire.frames import Frame, FrameReader, Octets
from borealis.wire.handover import (
    CancelRequest,
    Refusal,
    decode_cancel,
    decode_hand_over_answer,
    encode_refused,
    encode_taken,
)

SESSIONS_MAX: Final = 10_000
"""On one channel; it bounds what a peer can make this end hold, together with the window."""


class Offered(NamedTuple):
    """A session is to be taken: `payload` is that of a TAKE. To be answered with `take` or `refuse`."""

    number: SessionNumber
    payload: Octets


class Cancelled(NamedTuple):
    request: CancelRequest


class Answered(NamedTuple):
    """What became of a session that was offered; one that is refused is gone."""

    number: SessionNumber
    refusal: Refusal | None


class Received(NamedTuple):
    """To be passed on, and then reported with `passed_on`."""

    number: SessionNumber
    data: Octets


class Credited(NamedTuple):
    """More may be sent: `sendable`."""

    number: SessionNumber


class Closed(NamedTuple):
    """The peer has closed the session: nothing comes any more, nothing can be sent."""

    number: SessionNumber


Event: TypeAlias = Offered | Cancelled | Answered | Received | Credited | Closed


class _Session:
    __slots__ = ("is_taken", "passed_on", "receivable", "sendable")

    def __init__(self) -> None:
        self.is_taken = False
        self.sendable = WINDOW_BYTES
        self.receivable = WINDOW_BYTES
        self.passed_on = 0


class Multiplexer:
    """One end: `opens` says whether it is the one that offers sessions or the one that takes them."""

    def __init__(self, *, opens: bool) -> None:
        self._opens = opens
        self._reader = FrameReader(ACCEPTING_LIMITS if opens else OPENING_LIMITS)
        self._sessions: dict[SessionNumber, _Session] = {}
        self._last = SessionNumber(0)

    def __len__(self) -> int:
        return len(self._sessions)

    def offer(self, frame: bytearray) -> SessionNumber:
        """A new session for this TAKE (a whole frame), which is given its number and is then to be sent."""
        if not self._opens or len(self._sessions) >= SESSIONS_MAX:
            raise ValueError("no session can be opened at this end now")
        self._last = SessionNumber(self._last + 1)
        self._sessions[self._last] = _Session()
        number_frame(frame, self._last)
        return self._last

    def take(self, number: SessionNumber) -> bytes:
        """The answer to an offer; nothing if the session is gone."""
        session = self._sessions.get(number)
        if session is None:
            return b""
        session.is_taken = True
        return _numbered(encode_taken(), number)

    def refuse(self, number: SessionNumber, refusal: Refusal) -> bytes:
        if self._sessions.pop(number, None) is None:
            return b""
        return _numbered(encode_refused(refusal), number)

    def sendable(self, number: SessionNumber) -> int:
        """How much may be sent now; 0 for a session that is gone."""
        session = self._sessions.get(number)
        return session.sendable if session is not None and session.is_taken else 0

    def send(self, number: SessionNumber, data: Octets) -> bytes:
        """A frame with data, at most `sendable` and DATA_BYTES_MAX; nothing if the session is gone."""
        session = self._sessions.get(number)
        if session is None:
            return b""
        if len(data) > session.sendable or not session.is_taken:
            raise ValueError("a session sends more than it may")
        session.sendable -= len(data)
        return encode_data(number, data)

    def passed_on(self, number: SessionNumber, count: int) -> bytes:
        """Received data has left this end: the frame that tells the peer, or nothing yet."""
        session = self._sessions.get(number)
        if session is None:
            return b""
        session.passed_on += count
        if session.passed_on < WINDOW_BYTES // 4:
            return b""
        count, session.passed_on = session.passed_on, 0
        session.receivable += count
        return encode_credit(number, count)

    def close(self, number: SessionNumber) -> bytes:
        """The frame that tells the peer; nothing if the session is gone."""
        if self._sessions.pop(number, None) is None:
            return b""
        return encode_close(number)

    def receive(self, data: bytes) -> list[Event]:
        """What the peer's bytes mean. Raises Malformed or Rejected: the peer breaks the protocol, the channel ends."""
        events = []
        for frame in self._reader.feed(data):
            event = self._take_frame(frame)
            if event is not None:
                events.append(event)
        return events

    def _take_frame(self, frame: Frame) -> Event | None:
        if frame.type == ChannelFrame.CANCEL:
            if frame.request:
                raise Malformed("a CANCEL has the number of a session")
            return Cancelled(decode_cancel(frame.payload))
        number = SessionNumber(frame.request)
        if frame.type == ChannelFrame.TAKE:
            return self._take_offer(number, frame.payload)
        session = self._sessions.get(number)
        if session is None:
            if not 0 < number <= self._last:
                raise Malformed("a frame belongs to a session that was never opened")
            return None
        if frame.type in (ChannelFrame.TAKEN, ChannelFrame.REFUSED):
            return self._take_answer(number, session, frame)
        if frame.type == ChannelFrame.CLOSE:
            del self._sessions[number]
            return Closed(number)
        if not session.is_taken:
            raise Malformed("a session that is not taken yet is used")
        if frame.type == ChannelFrame.CREDIT:
            session.sendable += decode_credit(frame.payload)
            if session.sendable > WINDOW_BYTES:
                raise Malformed("a CREDIT is for more than was sent")
            return Credited(number)
        size = len(frame.payload)
        if not 0 < size <= session.receivable:
            raise Malformed("a DATA is empty, or more than its window allows")
        session.receivable -= size
        return Received(number, frame.payload)

    def _take_offer(self, number: SessionNumber, payload: Octets) -> Event:
        if number != self._last + 1:
            raise Malformed("the sessions of a channel are not numbered one after the other")
        if len(self._sessions) >= SESSIONS_MAX:
            raise Malformed("a channel has too many sessions")
        self._last = number
        self._sessions[number] = _Session()
        return Offered(number, payload)

    def _take_answer(self, number: SessionNumber, session: _Session, frame: Frame) -> Event:
        if session.is_taken:
            raise Malformed("a session is answered twice")
        refusal = decode_hand_over_answer(frame.type, frame.payload)
        if refusal is None:
            session.is_taken = True
        else:
            del self._sessions[number]
        return Answered(number, refusal)


def _numbered(frame: bytes, number: SessionNumber) -> bytes:
    numbered = bytearray(frame)
    number_frame(numbered, number)
    return bytes(numbered)

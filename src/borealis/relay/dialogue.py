"""What is said before a client is somebody: from its first byte to a verified token. Pure: no sockets, no clock.

A `Dialogue` is a generator in the manner of psycopg: it yields `Send` and `RECEIVE`, is given what was received, and
returns how it ended. The waiting, its deadlines included, is someone else's. Promises: it never holds more than a
packet and what came in one receive, asks for no more than is needed to decide, and answers every broken rule with an
ErrorResponse, in plaintext before the handshake and encrypted after it.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from borealis.relay import refusals
from borealis.relay.refusals import Refusal, encode_refusal
from borealis.relay.startup_packet import (
    CANCEL_CODE,
    GSS_CODE,
    LENGTH_BYTES,
    PACKET_BYTES_MIN,
    TLS_CODE,
    CancelRequest,
    Refused,
    Startup,
    check_user,
    negotiation,
    packet_code,
    packet_length,
    parse_cancel,
    parse_startup,
)
from borealis.tls import ServerHandshake, TlsError, TlsSession

RECEIVE: Final = None
"""Wait for bytes of the client; none means that its stream has ended."""

_TLS_HANDSHAKE_RECORD: Final = 0x16
_PASSWORD: Final = ord("p")
TOKEN_BYTES_MAX: Final = 2**14
"""A token with a session token and a long session policy has some thousand bytes."""
_ACCEPT_TLS: Final = b"S"
_REFUSE_GSS: Final = b"N"
_ASK_FOR_PASSWORD: Final = b"R\0\0\0\x08\0\0\0\x03"


class Send(NamedTuple):
    data: bytes


Effect: TypeAlias = Send | None
Talk: TypeAlias = Generator[Effect, bytes, "Outcome"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client has said of itself so far; any of it may be made up."""

    server_name: str
    startup: Startup


class Gate(Protocol):
    """Who decides about this client. Every refusal is a `Refused`."""

    def find_cluster(self, claim: Claim) -> None:
        """Finds the cluster that the client means; told once, before `admit`."""

    def admit(self, token: str) -> "Grant":
        """Checks the token and the limits; a grant has been counted."""

    def report(self, refusal: Refusal | None) -> None:
        """Takes down how it ended: with a refusal or in a session."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A verified caller: which cluster it may use, who it is, and for which of the two actions its token was made.
    `is_coming`: the cluster is still being made."""

    cluster: str
    principal: str
    is_admin: bool
    is_coming: bool = False


@dataclass(frozen=True, slots=True)
class LetIn:
    """The session, to be handed over with everything that was received and not consumed."""

    claim: Claim
    grant: Grant
    session: TlsSession
    unread_plaintext: bytes
    is_direct_tls: bool
    has_alpn: bool


class TurnedAway(NamedTuple):
    """The client has been told, as far as it listens."""

    refusal: Refusal


class Left(NamedTuple):
    """The client went away, or spoke no TLS that can be answered with more than an alert."""

    reason: Literal["closed", "tls"]


Outcome: TypeAlias = LetIn | TurnedAway | CancelRequest | Left


class OutOfTime(Exception):  # noqa: N818 - an event, thrown into the dialogue by whoever keeps its time
    """The time for the dialogue is over."""


class _EndOfStream(Exception):  # noqa: N818
    pass


class Dialogue:
    """One client. `run` may be called once."""

    __slots__ = ("_buffer", "_claim", "_gate", "_handshake", "_make_handshake", "_session")

    def __init__(self, make_handshake: Callable[[bool], ServerHandshake], gate: Gate) -> None:
        """`make_handshake` is told whether TLS began without being asked for."""
        self._make_handshake = make_handshake
        self._handshake: ServerHandshake | None = None
        self._gate = gate
        self._buffer = bytearray()
        """What was said in plaintext before the handshake, or decrypted after it."""
        self._session: TlsSession | None = None
        self._claim: Claim | None = None

    def run(self) -> Talk:
        try:
            return (yield from self._talk())
        except Refused as refused:
            refusal = refused.refusal
        except OutOfTime:
            if self._claim is None:
                return Left("closed")  # it has not even said what it wants: PostgreSQL does not answer that either
            refusal = refusals.OUT_OF_TIME
        except _EndOfStream:
            return Left("closed")
        except TlsError as error:
            if error.alert:
                yield Send(error.alert)
            return Left("tls")
        self._gate.report(refusal)  # first: what a client has been told is on record
        yield Send(self.farewell(refusal))
        return TurnedAway(refusal)

    def farewell(self, refusal: Refusal) -> bytes:
        """The last words for this client, on their layer."""
        words = encode_refusal(refusal)
        return words if self._session is None else self._session.encrypt(words) + self._session.close_notify()

    def cut_short(self, refusal: Refusal) -> bytes:
        """Its end by somebody else's decision, wherever it is: what is left to be said. Nothing while TLS begins, or
        once the keys may be a front's."""
        self._gate.report(refusal)
        if self._handshake is not None and self._session is None:
            return b""
        try:
            return self.farewell(refusal)
        except TlsError:
            return b""

    def goodbye(self) -> bytes:
        """What ends the connection of a client that has nothing to hear."""
        return b"" if self._session is None else self._session.close_notify()

    def close(self) -> None:
        """Forget the keys. A session that was let in ends, unless its state has been exported before."""
        if self._handshake is not None:
            self._handshake.close()
        if self._session is not None:
            self._session.close()

    def _talk(self) -> Talk:
        opening = yield from self._open()
        if isinstance(opening, CancelRequest):
            return opening
        is_direct_tls = opening == "direct"
        server_name, has_alpn = yield from self._shake_hands(is_direct_tls)
        packet = yield from self._receive_packet()
        if packet_code(packet) == CANCEL_CODE:
            return parse_cancel(packet)
        startup = parse_startup(packet)
        words = negotiation(startup)
        if words:
            yield Send(self._open_session.encrypt(words))
        check_user(startup)
        claim = self._claim = Claim(server_name, startup)
        self._gate.find_cluster(claim)
        yield Send(self._open_session.encrypt(_ASK_FOR_PASSWORD))
        token = yield from self._receive_password()
        grant = self._gate.admit(token)
        return LetIn(claim, grant, self._open_session, bytes(self._buffer), is_direct_tls, has_alpn)

    def _open(self) -> Generator[Effect, bytes, CancelRequest | Literal["direct", "requested"]]:
        """Until TLS begins, or the client turns out to want no session."""
        yield from self._receive()
        if self._buffer[0] == _TLS_HANDSHAKE_RECORD:
            return "direct"
        packet = yield from self._receive_packet()
        if packet_code(packet) == GSS_CODE:
            self._expect_bare_request(packet, refusals.DATA_BEFORE_GSS)
            yield Send(_REFUSE_GSS)
            packet = yield from self._receive_packet()
        code = packet_code(packet)
        if code == CANCEL_CODE:
            return parse_cancel(packet)  # libpq before version 17 always sends it so
        if code == TLS_CODE:
            self._expect_bare_request(packet, refusals.DATA_BEFORE_TLS)
            yield Send(_ACCEPT_TLS)
            return "requested"
        startup = parse_startup(packet)
        words = negotiation(startup)
        if words:
            yield Send(words)
        check_user(startup)
        raise Refused(refusals.TLS_REQUIRED)

    def _expect_bare_request(self, packet: bytes, refusal: Refusal) -> None:
        """What came behind the request was not encrypted, but would be taken for it (CVE-2021-23222)."""
        if len(packet) != PACKET_BYTES_MIN:
            raise Refused(refusals.PACKET_LENGTH)
        if self._buffer:
            raise Refused(refusal)

    def _shake_hands(self, is_direct: bool) -> Generator[Effect, bytes, tuple[str, bool]]:
        """Server name and whether there is ALPN. What came behind the client's last record of the handshake belongs to
        the session, which keeps it."""
        handshake = self._handshake = self._make_handshake(is_direct)
        data = bytes(self._buffer)
        while True:
            if data:
                answer = handshake.feed(data)
                if answer:
                    yield Send(answer)
                if handshake.is_done:
                    break
            data = yield RECEIVE
            if not data:
                raise _EndOfStream
        self._buffer.clear()
        names = handshake.server_name, handshake.has_alpn
        self._session = handshake.finish()
        self._buffer += self._session.decrypt(b"")
        return names

    def _receive_packet(self) -> Generator[Effect, bytes, bytes]:
        while (length := packet_length(self._buffer)) is None or len(self._buffer) < length:
            yield from self._receive()
        return self._cut(length)

    def _receive_password(self) -> Generator[Effect, bytes, str]:
        buffer = self._buffer
        while len(buffer) < 1 + LENGTH_BYTES:
            yield from self._receive()
        if buffer[0] != _PASSWORD:
            raise Refused(refusals.PASSWORD_EXPECTED)
        length = int.from_bytes(buffer[1 : 1 + LENGTH_BYTES], "big")
        if not LENGTH_BYTES < length <= LENGTH_BYTES + TOKEN_BYTES_MAX:
            raise Refused(refusals.PASSWORD_SIZE)
        while len(buffer) < 1 + length:
            yield from self._receive()
        password = self._cut(1 + length)[1 + LENGTH_BYTES :]
        if password.find(0) != len(password) - 1:
            raise Refused(refusals.PASSWORD_SIZE)
        if len(password) == 1:
            raise Refused(refusals.PASSWORD_EMPTY)
        return password[:-1].decode("latin-1")  # a token is ASCII; whatever else this is will be refused

    def _receive(self) -> Generator[Effect, bytes, None]:
        session = self._session
        if session is not None and session.peer_closed:
            raise _EndOfStream
        data = yield RECEIVE
        if not data:
            raise _EndOfStream
        self._buffer += data if session is None else session.decrypt(data)

    @property
    def _open_session(self) -> TlsSession:
        assert self._session is not None
        return self._session

    def _cut(self, count: int) -> bytes:
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        return piece

"""One client's connection until it is handed over: a socket under a dialogue.

Promises: what is received is bounded by the dialogue, what waits to be sent by `_OUTGOING_BYTES_MAX`; after the last
word the connection is closed only when the client has read it, has closed its side or has had its time, because a
close with bytes unread would reset it and take that word away. Deadlines are the server's to keep.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from borealis.relay.dialogue import Dialogue, Effect, LetIn, Outcome, OutOfTime, TurnedAway
from borealis.relay.gatekeeper import ClientGate
from borealis.relay.limits import Address
from borealis.relay.refusals import Refusal
from borealis.relay.startup_packet import CancelRequest
from borealis.tls import ServerHandshake

RECEIVE_BYTES: Final = 8192
_OUTGOING_BYTES_MAX: Final = 2**16
_DRAINED_BYTES_MAX: Final = 2**20


class Desk(Protocol):
    """Where visitors report."""

    def note_first_byte(self, visitor: "Visitor") -> None: ...

    def note_last_word(self, visitor: "Visitor") -> None: ...

    def let_in(self, visitor: "Visitor", arrival: LetIn) -> None: ...

    def cancel(self, visitor: "Visitor", request: CancelRequest) -> None: ...

    def left(self, visitor: "Visitor") -> None: ...


class Visitor:
    __slots__ = (
        "_arrival",
        "_desk",
        "_dialogue",
        "_drained_bytes",
        "_is_last_word_said",
        "_is_silent",
        "_is_watched",
        "_loop",
        "_outgoing",
        "_talk",
        "address",
        "connection",
        "gate",
        "port",
    )

    def __init__(
        self,
        connection: socket.socket,
        address: Address,
        port: int,
        gate: ClientGate,
        make_handshake: Callable[[bool], ServerHandshake],
        desk: Desk,
    ) -> None:
        self.connection = connection
        self.address = address
        self.port = port
        self.gate = gate
        self._dialogue = Dialogue(make_handshake, gate)
        self._talk = self._dialogue.run()
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._outgoing = bytearray()
        self._arrival: LetIn | None = None
        self._drained_bytes = 0
        self._is_silent = True
        self._is_watched = False
        self._is_last_word_said = False

    def start(self) -> None:
        self._act(next(self._talk))
        self._watch()

    @property
    def is_open(self) -> bool:
        return self.connection.fileno() >= 0

    def expire(self) -> None:
        """Its time is over."""
        if self._is_last_word_said:
            self.close()
            return
        try:
            self._act(self._talk.throw(OutOfTime()))
        except StopIteration as end:
            self._finish(end.value)

    def break_off(self, refusal: Refusal) -> None:
        """At once, with a last word if it can be said: for when there is no room, or no time, to wait until the client
        has read it."""
        if not self.is_open:
            return
        if not self._is_last_word_said:
            words = self._dialogue.cut_short(refusal)
            if words and not self._outgoing:
                with suppress(OSError):  # the client is gone, or does not read
                    self.connection.send(words)
                    self.connection.shutdown(socket.SHUT_WR)
                    self.connection.recv(RECEIVE_BYTES)  # left unread, it would make a reset of the end
        self.close()

    def say_farewell(self, refusal: Refusal) -> None:
        """Turn away a client that had been let in."""
        if self.is_open:
            self._send(self._dialogue.farewell(refusal))
            self._part()

    def dismiss(self) -> None:
        """Done, and nothing is left to say."""
        if self.is_open:
            goodbye = self._dialogue.goodbye()
            if goodbye:
                self._send(goodbye)
            self._part()

    def detach(self) -> socket.socket:
        """The connection of a session that is somebody else's now, for whoever forwards its bytes."""
        connection = self.connection.dup()
        connection.setblocking(False)
        self.close()
        return connection

    def close(self) -> None:
        """At once, without a word."""
        if not self.is_open:
            return
        self._ignore()
        if self._outgoing:
            self._loop.remove_writer(self.connection)
        self.connection.close()
        self._talk.close()
        self._dialogue.close()
        self._desk.left(self)

    # Receiving

    def _watch(self) -> None:
        if self.is_open and not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self.connection, self._read)

    def _ignore(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self.connection)

    def _read(self) -> None:
        """Until there is nothing left: a connection that was reset with data unread is reported only once."""
        while self._is_watched:
            try:
                data = self.connection.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if self._is_last_word_said:
                self._drain(len(data))
            else:
                self._hear(data)

    def _hear(self, data: bytes) -> None:
        if self._is_silent and data:
            self._is_silent = False
            self._desk.note_first_byte(self)
        try:
            self._act(self._talk.send(data))
        except StopIteration as end:
            self._finish(end.value)

    def _drain(self, count: int) -> None:
        self._drained_bytes += count
        if not count or self._drained_bytes > _DRAINED_BYTES_MAX:
            self.close()

    # Acting for the dialogue

    def _act(self, effect: Effect) -> None:
        """Raises StopIteration when the dialogue is over."""
        while effect is not None:
            self._send(effect.data)
            effect = next(self._talk)

    def _finish(self, outcome: Outcome | None) -> None:
        if not self.is_open or outcome is None:
            return
        if isinstance(outcome, LetIn):
            self._ignore()  # not a byte more: the rest is for the front
            if self._outgoing:
                self._arrival = outcome
            else:
                self._desk.let_in(self, outcome)
        elif isinstance(outcome, CancelRequest):
            self._ignore()
            self._desk.cancel(self, outcome)
        elif isinstance(outcome, TurnedAway) or outcome.reason == "tls":
            self._part()  # an alert of TLS is a last word, too
        else:
            self.close()

    # Sending

    def _send(self, data: bytes) -> None:
        if not self.is_open:
            return
        if not self._outgoing:
            try:
                sent = self.connection.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the client is gone, as the next receive will tell
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self.connection, self._flush)
        self._outgoing += data
        if len(self._outgoing) > _OUTGOING_BYTES_MAX:
            self.close()

    def _flush(self) -> None:
        try:
            sent = self.connection.send(self._outgoing)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self._outgoing[:sent]
        if self._outgoing:
            return
        self._loop.remove_writer(self.connection)
        if self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            self._desk.let_in(self, arrival)
        elif self._is_last_word_said:
            self._shut_down()

    def _part(self) -> None:
        self._is_last_word_said = True
        self._desk.note_last_word(self)
        if not self._outgoing:
            self._shut_down()
        self._watch()

    def _shut_down(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()


def parse_address(text: str) -> Address:
    """A client's address; IPv4 that came to an IPv6 socket is IPv4."""
    address = ip_address(text.partition("%")[0])
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address

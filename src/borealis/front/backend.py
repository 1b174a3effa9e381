"""A connection to a Postgres backend, from its login to its end: the shell around an `Exchange`.

Serves one customer at a time: a session, or nobody. In between it runs errands: exporting and importing the state of
sessions, rolling back what a session left behind. Promises: it goes back to the pool only when nothing of its session
is in it, no cancel request is on its way, and the state that it says it has is the one that it has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from borealis.front import messages
from borealis.front.byte_pipe import PeerGone, PeerReset, read_some, write_some
from borealis.front.errand import Errand, log_in, rollback, state_export, state_import
from borealis.front.exchange import Exchange
from borealis.front.login import BackendKind
from borealis.front.messages import HEADER, HEADER_BYTES, ProtocolViolation
from borealis.front.poller import READ, WRITE
from borealis.front.session_state import LoginSettings, SessionState

if TYPE_CHECKING:
    from borealis.front.customer import PoolCustomer
    from borealis.front.front import Front

_PINNED: Final = b" pinned"
_READ_AT_ONCE_BYTES: Final = 8192 if sys.platform == "linux" else 0
"""What was sent in one piece up to this size, Postgres has read whole (PQ_RECV_BUFFER_SIZE) or not at all."""
_FAREWELLS: Final = frozenset((messages.ERROR, messages.NOTICE))
_FATAL: Final = frozenset(("FATAL", "PANIC"))
_CRASH_OF_ANOTHER: Final = "57P02"
_NO_LOGIN: Final = LoginSettings(())
"""No session's: whoever comes next has to log in."""
_UNKNOWN: Final = SessionState(_NO_LOGIN, b"unknown")
"""No session's: whoever comes next has to import its own."""

OnErrand = Callable[[Errand], None]


class Backend:
    __slots__ = (
        "_baseline",
        "_cancels",
        "_errand",
        "_front",
        "_last_words",
        "_mask",
        "_offered_bytes",
        "_on_errand",
        "_unsent",
        "customer",
        "descriptor",
        "exchange",
        "is_closed",
        "is_draining",
        "kind",
        "login",
        "process_id",
        "secret",
        "state",
    )

    def __init__(
        self, front: Front, kind: BackendKind, descriptor: int, exchange: Exchange, key: tuple[int, int]
    ) -> None:
        """Logged in."""
        self._front = front
        self.kind = kind
        self.descriptor = descriptor
        self.exchange = exchange
        self.process_id, self.secret = key
        self.state: SessionState = front.states.blank
        self.login: LoginSettings = front.states.bare
        """Whose settings RESET goes back to; what it has is known even while its state is not."""
        self.customer: PoolCustomer | None = None
        self.is_closed = False
        self.is_draining = False
        """Its session has left; what it has asked for is carried out, the answers are for nobody."""
        self._baseline = exchange.state_report
        self._cancels = 0
        self._errand: Errand | None = None
        self._on_errand: OnErrand | None = None
        self._unsent = b""
        self._offered_bytes: int | None = None
        """What was sent of the customer's first requests in one piece, as long as it is all that passed since."""
        self._last_words = b""
        """Said in place of an answer to them, when the end is near: to be told to nobody if they were not read."""
        self._mask = READ

    # Serving.

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    @property
    def is_pinned(self) -> bool:
        """Something of the session cannot move to another backend."""
        report = self.exchange.state_report
        # Without a report nobody knows what the session has changed.
        return not report or report.endswith(_PINNED) or self.exchange.has_private_statements

    @property
    def has_changed_state(self) -> bool:
        return self.exchange.state_report != self._baseline

    def adapt(self, state: SessionState, on_done: Callable[[dict[str, str] | None], None]) -> None:
        """Takes on the state of a session; calls back at once, or when Postgres has answered, with its error."""
        if self.state is state:
            on_done(None)
        elif self.login is state.login:
            self._import(state, on_done)
        else:
            self._log_in(state, on_done)

    def _log_in(self, state: SessionState, on_done: Callable[[dict[str, str] | None], None]) -> None:
        was_blank = not self.state.blob

        def logged_in(errand: Errand) -> None:
            self._baseline = self.exchange.state_report
            if errand.error:
                on_done(errand.error)  # some settings are the new ones: all will be replaced
                return
            self.login = state.login
            if was_blank and not state.blob:
                self.state = state
                on_done(None)
            else:
                self._import(state, on_done)

        self.state, self.login = _UNKNOWN, _NO_LOGIN
        self.run(log_in(self.secret, state.login.blob), logged_in)

    def _import(self, state: SessionState, on_done: Callable[[dict[str, str] | None], None]) -> None:
        def imported(errand: Errand) -> None:
            self._baseline = self.exchange.state_report
            self.state = _UNKNOWN if errand.error else state
            if errand.error:
                self.exchange.is_spent = True  # nobody else may get it: it ends
            on_done(errand.error)

        self.state = _UNKNOWN
        self.run(state_import(state.blob), imported)

    def learn_state(self, on_done: Callable[[SessionState | None], None]) -> None:
        """The state that the session has now, None if Postgres does not tell."""

        def exported(errand: Errand) -> None:
            self._baseline = self.exchange.state_report
            if errand.error or not errand.row or errand.row[0] is None:
                self._front.log.error("the state of a session cannot be read: %s", errand.error or "it is NULL")
                self.state = _UNKNOWN
                on_done(None)
                return
            self.state = self._front.states.intern(self.login, errand.row[0])
            on_done(self.state)

        self.run(state_export(), exported)

    def run(self, errand: Errand, on_done: OnErrand) -> None:
        assert self._errand is None
        self._errand, self._on_errand = errand, on_done
        # An errand's statement takes the place of the unnamed one.
        self.exchange.statements.unnamed = None
        self.send(errand.octets)

    def leave(self, *, is_orderly: bool) -> None:
        """The session is over. Its transaction is rolled back; in an orderly end what it asked for is done first."""
        self.customer = None
        exchange = self.exchange
        if self.is_pinned or exchange.is_spent or exchange.is_fatal or self._errand is not None:
            self.close()
        elif not self.can_roll_back:
            if not is_orderly or not exchange.comes_to_rest:
                self.close()
                return
            self.is_draining = True
            self.listen(is_reading=True)
        elif exchange.status == messages.IDLE:
            self._clean_up()
        else:
            self.run(rollback(), self._rolled_back)

    @property
    def can_roll_back(self) -> bool:
        exchange = self.exchange
        return not exchange.is_answering and exchange.can_be_asked and not self._unsent

    def _rolled_back(self, errand: Errand) -> None:
        if errand.error or errand.status != messages.IDLE:
            self.close()
            return
        self.exchange.status = messages.IDLE
        self._clean_up()

    def _clean_up(self) -> None:
        if self.has_changed_state:
            self.state = _UNKNOWN
            self._baseline = self.exchange.state_report
        self.is_draining = False
        self.release()

    def release(self) -> None:
        """Back to the pool, once no cancel request can hit the next session any more."""
        self.customer = None
        if self._cancels == 0 and not self.is_closed:
            self._front.give_back(self)

    def cancel_begins(self) -> None:
        self._cancels += 1

    def cancel_is_over(self) -> None:
        self._cancels -= 1
        if self.customer is None and self._errand is None and not self.is_draining:
            self.release()

    # Sockets.

    def offer(self, data: bytes) -> None:
        """Send the first requests of a customer. If they are not read, another backend may have them."""
        self._offered_bytes = None
        try:
            self._unsent = write_some(self.descriptor, data)
        except PeerGone:
            self._offered_bytes = 0
            return
        if self._unsent:
            self.listen(is_reading=bool(self._mask & READ))
        elif self.exchange.began_with_nothing_unread:
            self._offered_bytes = len(data)

    def send(self, data: bytes) -> None:
        self._offered_bytes = None
        if self._unsent:
            self._unsent += data
            return
        try:
            self._unsent = write_some(self.descriptor, data)
        except PeerGone:
            # What it said before it went is still to be read.
            return
        if self._unsent:
            self.listen(is_reading=bool(self._mask & READ))

    def listen(self, *, is_reading: bool) -> None:
        mask = (READ if is_reading else 0) | (WRITE if self._unsent else 0)
        if mask != self._mask:
            self._mask = mask
            self._front.poller.listen(self.descriptor, mask)

    def ready(self, events: int) -> None:
        try:
            if events & WRITE and self._unsent:
                self._unsent = write_some(self.descriptor, self._unsent)
                if not self._unsent:
                    self.listen(is_reading=bool(self._mask & READ))
                    if self.customer is not None:
                        self.customer.backend_is_writable()
            if events & ~WRITE and not self.is_closed:
                data = read_some(self.descriptor, self._front.settings.receive_bytes)
                if data is not None:
                    self._receive(data)
        except PeerGone as error:
            self.lose(is_unread=isinstance(error, PeerReset))
        except ProtocolViolation as error:
            self._front.log.error("backend %d: %s", self.process_id, error)
            self.lose()

    def _receive(self, data: bytes) -> None:
        if self._errand is not None:
            self._receive_errand(self._errand, data)
            return
        if self._offered_bytes is not None:
            if data[0] in _FAREWELLS and _is_farewell(data):
                self._last_words += data
                return
            self._offered_bytes = None
            if self._last_words:
                data = self._last_words + data
                self._last_words = b""
        shown = self.exchange.reply(data)
        if self.customer is not None:
            self.customer.receive(shown)
        elif self.is_draining:
            if self.can_roll_back:
                self.leave(is_orderly=True)
        elif self.exchange.is_fatal:
            self.lose()

    def _receive_errand(self, errand: Errand, data: bytes) -> None:
        errand.reply(data)
        for name, value in errand.parameters:
            self.exchange.note_parameter(name, value)
        errand.parameters.clear()
        if errand.is_done:
            on_done, self._errand, self._on_errand = self._on_errand, None, None
            assert on_done is not None
            on_done(errand)

    def lose(self, *, is_unread: bool = False) -> None:
        """The connection is gone; `is_unread`: with something that Postgres has not read."""
        if self.is_closed:
            return
        offered = self._offered_bytes
        is_untouched = offered is not None and (not offered or (is_unread and offered <= _READ_AT_ONCE_BYTES))
        if not is_untouched:
            self._tell_last_words()
        customer, self.customer = self.customer, None
        self.close()
        if customer is not None:  # nor has it left because of the last words
            customer.lose_backend(is_untouched=is_untouched)

    def _tell_last_words(self) -> None:
        words, self._last_words = self._last_words, b""
        if words and self.customer is not None:
            self.customer.receive(self.exchange.reply(words))

    def close(self) -> None:
        """Postgres rolls back what is open when it notices."""
        if not self.is_closed:
            self.shut()
            self._front.lost(self)

    def shut(self) -> None:
        """Without telling the pool."""
        self.is_closed = True
        self._errand = self._on_errand = None
        self._front.poller.remove(self.descriptor)
        os.close(self.descriptor)


def _is_farewell(data: bytes) -> bool:
    """Nothing but whole messages with which a backend takes its leave, whatever it was asked."""
    at = 0
    while len(data) - at >= HEADER_BYTES:
        kind, length = HEADER.unpack_from(data, at)
        if kind not in _FAREWELLS or length < 4 or at + 1 + length > len(data):
            return False
        fields = messages.read_error(data[at + HEADER_BYTES : at + 1 + length])
        if fields.get("V") not in _FATAL and fields.get("C") != _CRASH_OF_ANOTHER:
            return False
        at += 1 + length
    return at == len(data)

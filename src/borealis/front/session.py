"""A client's session: its socket with the TLS records on it, and the backend that serves it while it is active.

An idle session is this object and the keys, nothing else: no buffer, no backend. Promises: what the client sends is
read only when there is somebody to take it, and what it is sent is read from the backend only when it has taken what
came before, so that no peer can make the front hold more than a few pieces of what it reads at once.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, Protocol

from borealis.front import messages
from borealis.front.byte_pipe import PeerGone, write_some
from borealis.front.farewell import Farewell
from borealis.front.messages import ProtocolViolation, Request, RequestReader
from borealis.front.poller import GONE, READ, WRITE
from borealis.front.session_state import Parameters, SessionState
from borealis.front.statements import SessionStatements
from borealis.tls import TlsError

if TYPE_CHECKING:
    from borealis.front.backend import Backend
    from borealis.front.front import Front
    from borealis.front.login import BackendKind

_NEEDS_NO_BACKEND: Final = frozenset(
    (messages.FLUSH, messages.COPY_DATA, messages.COPY_DONE, messages.COPY_FAIL, messages.CONTINUATION)
)
"""What Postgres ignores when it comes at rest; a continuation is then one of such a message."""

_ATTEMPTS_MAX: Final = 3
_CANCELED: Final = messages.error_response(
    "ERROR", "57014", "canceling statement due to user request"
) + messages.ready_for_query(messages.IDLE)


class Records(Protocol):
    """The encryption of one session, as `TlsSession` does it."""

    peer_closed: bool

    def decrypt(self, data: bytes) -> bytes: ...
    def receive(self, descriptor: int, maximum: int) -> bytes: ...
    def encrypt(self, data: bytes) -> bytes: ...
    def send(self, descriptor: int, data: bytes) -> bytes: ...
    def close_notify(self) -> bytes: ...
    def close(self) -> None: ...


class Session:
    __slots__ = (
        "_attempts",
        "_front",
        "_is_changing",
        "_is_leaving",
        "_kind",
        "_mask",
        "_offered",
        "_pending",
        "_reader",
        "_records",
        "_secret",
        "_state",
        "_statements",
        "_told",
        "_unsent",
        "backend",
        "deadline_ns",
        "descriptor",
        "is_over",
        "number",
    )

    def __init__(
        self,
        front: Front,
        number: int,
        secret: int,
        descriptor: int,
        records: Records,
        kind: BackendKind,
        state: SessionState,
        told: Parameters,
        deadline_ns: int,
    ) -> None:
        self._front = front
        self.number = number
        self._secret = secret
        self.descriptor = descriptor
        self._records = records
        self._kind = kind
        self._told = told
        """What the client knows of its settings, while no backend serves it."""
        self.deadline_ns = deadline_ns
        """Monotonic."""
        self.backend: Backend | None = None
        self.is_over = False
        self._reader = RequestReader()
        self._statements = SessionStatements()
        self._state = state
        self._pending: list[Request] | None = None
        """Waits for a backend, or for the backend to get ready."""
        self._is_changing = False
        """The backend takes on the session's state, or gives it."""
        self._is_leaving = False
        """The client has said good-bye, behind what is pending or being answered."""
        self._offered: list[Request] | None = None
        """Its first requests for the backend, until something of an answer is here."""
        self._attempts = 0
        """Backends that were lost in the moment in which they were to serve it, one after the other."""
        self._unsent = b""
        self._mask = READ

    @property
    def is_at_rest(self) -> bool:
        return self.backend is None and self._pending is None

    def has_secret(self, secret: int) -> bool:
        return hmac.compare_digest(self._secret.to_bytes(4, "big"), secret.to_bytes(4, "big"))

    def greet(self, greeting: bytes, unread: bytes) -> None:
        """The first words; `unread` is what the client has sent already, behind its password."""
        self.write(greeting)
        if unread:
            self._understand(unread)
        try:
            plaintext = self._records.decrypt(b"")
        except TlsError as error:
            self._abort(error.alert)
        else:
            self._take(plaintext)

    # From the client.

    def ready(self, events: int) -> None:
        if events != READ and not self._look_around(events):
            return
        if not self._can_take:
            self._mask &= ~READ
            self._front.poller.listen(self.descriptor, self._mask)
            return
        try:
            plaintext = self._records.receive(self.descriptor, self._front.settings.receive_bytes)
        except (OSError, EOFError):
            self.end()
        except TlsError as error:
            self._abort(error.alert)
        else:
            self._take(plaintext)

    def _look_around(self, events: int) -> bool:
        """After events that are rarer than data; whether there is data as well."""
        try:
            if events & WRITE and self._unsent:
                self._unsent = write_some(self.descriptor, self._unsent)
                if not self._unsent:
                    self._listen()
                    if self.backend is not None:
                        self.backend.listen(is_reading=True)
        except PeerGone:
            self.end(is_orderly=self._is_leaving)
            return False
        if events & GONE and not (events & READ and self._can_take):
            self.end(is_orderly=self._is_leaving)
        return bool(events & READ) and not self.is_over

    def _take(self, plaintext: bytes) -> None:
        if plaintext:
            self._understand(plaintext)
        if self._records.peer_closed and not self.is_over:
            self._leave()

    def _understand(self, plaintext: bytes) -> None:
        try:
            requests = self._reader.feed(plaintext)
            if not requests:
                return
            if self.backend is None and requests[0][0] in _NEEDS_NO_BACKEND:
                requests = _without_leftovers(requests)
            for at, (kind, _) in enumerate(requests):
                if kind == messages.TERMINATE:
                    self._is_leaving = True
                    del requests[at:]
                    break
            if requests:
                self._submit(requests)
        except ProtocolViolation as error:
            self.end(messages.error_response("FATAL", "08P01", str(error)))
            return
        if self._is_leaving and not self.is_over:
            self._leave()

    def _submit(self, requests: list[Request]) -> None:
        backend = self.backend
        if backend is not None and not self._is_changing:
            self._forward(backend, requests)
            return
        is_new = self._pending is None
        self._pending = requests if self._pending is None else self._pending + requests
        if is_new and backend is None:
            self._front.want(self, self._kind, self._state)

    def _forward(self, backend: Backend, requests: list[Request]) -> None:
        octets = backend.exchange.request(requests)
        if octets:
            backend.send(octets)

    def _leave(self) -> None:
        """In order: what the client asked for before is still done, and answered if it listens."""
        self._is_leaving = True
        if self._pending is not None:
            return
        if self.backend is None or not self.backend.exchange.is_coming_to_rest:
            self.end(is_orderly=True)

    # The backend, as its customer.

    def serve(self, backend: Backend) -> None:
        self.backend = backend
        backend.customer = self
        if backend.state is self._state:
            self._begin(backend)
        else:
            self._is_changing = True
            backend.adapt(self._state, self._adapted)

    def _adapted(self, error: dict[str, str] | None) -> None:
        self._is_changing = False
        backend = self.backend
        assert backend is not None
        if self.is_over:
            self.backend = None
            backend.leave(is_orderly=False)
        elif error is not None:
            self.end(messages.error_response("FATAL", error.get("C", "XX000"), error.get("M", "server unavailable")))
        else:
            self._begin(backend)

    def _begin(self, backend: Backend) -> None:
        exchange = backend.exchange
        exchange.begin(self._statements, self._state.meaning)
        if exchange.parameters is not self._told:
            differing = exchange.parameters.differing(self._told)
            self.write(b"".join(messages.parameter_status(name, value) for name, value in differing))
        pending, self._pending = self._pending, None
        if pending is not None:
            try:
                self._offer(backend, pending)
            except ProtocolViolation as error:
                self.end(messages.error_response("FATAL", "08P01", str(error)))
                return
        if self._is_leaving:
            self._leave()
        elif self._mask != READ:
            self._listen()

    def _offer(self, backend: Backend, requests: list[Request]) -> None:
        octets = backend.exchange.request(requests)
        if octets:
            self._offered = requests
            backend.offer(octets)

    def receive(self, data: bytes) -> None:
        self._offered = None
        self._attempts = 0
        if data:
            self.write(data)
        backend = self.backend
        if backend is None:
            return
        if self._is_leaving:
            self._leave()
        elif backend.exchange.is_idle and not self._reader.is_within_message:
            self._settle(backend)

    def _settle(self, backend: Backend) -> None:
        """The backend has nothing more to do for the session."""
        question = backend.exchange.settle()
        if question:
            backend.send(question)
        elif backend.exchange.is_fatal or backend.is_pinned:
            return
        elif backend.has_changed_state:
            self._is_changing = True
            backend.learn_state(self._learned)
        else:
            self._let_go(backend)

    def _learned(self, state: SessionState | None) -> None:
        self._is_changing = False
        backend = self.backend
        assert backend is not None
        if self.is_over:
            self.backend = None
            backend.leave(is_orderly=True)
        elif state is None:
            self.end(messages.error_response("FATAL", "XX000", "the state of the session was lost"))
        else:
            self._state = state
            self._let_go(backend)

    def _let_go(self, backend: Backend) -> None:
        exchange = backend.exchange
        exchange.end()
        self._told = exchange.parameters
        self.backend = None
        if self._unsent:
            backend.listen(is_reading=True)
        if exchange.is_spent:
            backend.close()
        else:
            backend.release()
        if self._pending is not None:
            self._front.want(self, self._kind, self._state)
        elif self._front.has_to_end(self):
            self._front.end_at_rest(self)

    def lose_backend(self, *, is_untouched: bool) -> None:
        backend, self.backend = self.backend, None
        assert backend is not None
        exchange = backend.exchange
        was_changing, self._is_changing = self._is_changing, False
        offered, self._offered = self._offered, None
        if self.is_over:
            return
        if is_untouched and offered is not None and exchange.take_back():
            self._pending = offered
            self._ask_again()
        elif was_changing and self._pending is not None and not backend.has_changed_state:
            self._ask_again()  # nothing of the session was in it yet
        elif exchange.is_fatal or exchange.is_within_reply:
            self.end()
        elif was_changing:
            self.end(messages.error_response("FATAL", "57P02", "terminating connection because its state was lost"))
        elif exchange.is_answering and not is_untouched:
            text = "the query processor was lost; whether the transaction was committed is unknown"
            self.end(messages.error_response("FATAL", "08007", text))
        else:
            text = "terminating connection because the query processor was lost; its transaction was rolled back"
            self.end(messages.error_response("FATAL", "57P02", text))

    def _ask_again(self) -> None:
        """For another backend: what is pending has not begun."""
        self._attempts += 1
        if self._attempts < _ATTEMPTS_MAX:
            self._front.want(self, self._kind, self._state)
        else:
            self._attempts = 0
            self.refuse(None)

    def refuse(self, fields: dict[str, str] | None) -> None:
        """There is no backend for it; what Postgres said about that, if anything."""
        pending, self._pending = self._pending, None
        if fields is not None:
            text = messages.error_response("FATAL", fields.get("C", "XX000"), fields.get("M", "server unavailable"))
            self.end(text)
            return
        error = messages.error_response("ERROR", "XX000", "server unavailable")
        answer = messages.refuse_requests(pending or (), error, messages.IDLE)
        if answer is None or self._reader.is_within_message or self._is_leaving:
            self.end(messages.error_response("FATAL", "XX000", "server unavailable"))
            return
        self.write(answer)
        self._listen()

    def cancel_waiting(self) -> None:
        """What it waits with for a backend, as Postgres cancels what it is doing: not what was sent behind it."""
        pending = self._pending
        if pending is None or self.backend is not None:
            return
        count = messages.count_first_answered(pending)
        if count == 0 or (count == len(pending) and self._reader.is_within_message):
            return
        self._pending = pending[count:] or None
        if self._pending is None:
            self._front.withdraw(self, self._kind)
        self.write(_CANCELED)
        if self._is_leaving:
            self._leave()
        else:
            self._listen()

    def backend_is_writable(self) -> None:
        self._listen()

    # To the client.

    def write(self, data: bytes) -> None:
        if self.is_over or not data:
            return
        try:
            if self._unsent:
                self._unsent += self._records.encrypt(data)
                return
            self._unsent = self._records.send(self.descriptor, data)
        except OSError:
            self.end(is_orderly=self._is_leaving)
            return
        except TlsError as error:
            self._abort(error.alert)
            return
        if self._unsent:
            if self.backend is not None:
                self.backend.listen(is_reading=False)
            self._listen()

    @property
    def _can_take(self) -> bool:
        """What the client says can be passed on."""
        backend = self.backend
        return (
            self._pending is None
            and not self._is_leaving
            and not self._unsent
            and (backend is None or not backend.has_unsent)
        )

    def _listen(self) -> None:
        """To the client. If it cannot be heard, `ready` finds that out when it says something: most say nothing then,
        and to ask the kernel for less and for more costs as much as to read."""
        if self.is_over:
            return
        mask = (READ if self._mask & READ or self._can_take else 0) | (WRITE if self._unsent else 0)
        if mask != self._mask:
            self._mask = mask
            self._front.poller.listen(self.descriptor, mask)

    # The end.

    def end(self, farewell: bytes = b"", *, is_orderly: bool = False) -> None:
        """With a last message, or without a word."""
        if self.is_over:
            return
        last = b""
        try:
            if farewell:
                last = self._records.encrypt(farewell)
            last += self._records.close_notify()
        except TlsError:
            pass  # nothing can be said any more
        self._close(last, waits=bool(farewell), is_orderly=is_orderly)

    def _abort(self, alert: bytes) -> None:
        """The TLS session is broken."""
        if not self.is_over:
            self._close(alert, waits=bool(alert), is_orderly=False)

    def _close(self, last: bytes, *, waits: bool, is_orderly: bool) -> None:
        self.is_over = True
        self._front.forget(self)
        self._front.poller.remove(self.descriptor)
        if self._pending is not None and self.backend is None:
            self._front.withdraw(self, self._kind)
        self._pending = None
        self._records.close()
        Farewell(self._front, self.descriptor, self._unsent + last, waits=waits or bool(self._unsent)).start()
        self._unsent = b""
        backend = self.backend
        if backend is None or self._is_changing:
            return  # or it is given up when its answer is here
        self.backend = None
        if self._reader.is_within_message:
            backend.close()
        else:
            backend.leave(is_orderly=is_orderly)


def _without_leftovers(requests: list[Request]) -> list[Request]:
    """The rest of a COPY that has failed needs no backend."""
    at = 0
    while at < len(requests) and requests[at][0] in _NEEDS_NO_BACKEND:
        at += 1
    return requests[at:]

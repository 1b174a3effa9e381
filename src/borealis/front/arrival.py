"""A session that a relay wants to hand over: whether it may come in, and its first words.

Until it is answered the keys stay where they arrived and the client's socket is the relay's as well. Ends with exactly
one call of `on_taken` or `on_refused`, unless it is abandoned before.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from borealis.foundation.errors import InvariantViolation
from borealis.front import errand, login
from borealis.front.errand import Errand
from borealis.front.login import SUPERUSER, BackendKind, Login
from borealis.front.poller import Timer
from borealis.front.session import Records
from borealis.front.session_state import Parameters
from borealis.tls import TlsError, cleanse
from borealis.wire.handover import HandOver, Refusal

if TYPE_CHECKING:
    from borealis.front.backend import Backend
    from borealis.front.front import Front

Adopt = Callable[[memoryview], Records]

_TOO_MANY: Final = Refusal("53300", "Unable to accept connection, too many open connections.")
_ASKING: Final = BackendKind(SUPERUSER)


class Arrival:
    __slots__ = (
        "_adopt",
        "_backend",
        "_descriptor",
        "_front",
        "_hand_over",
        "_has_place",
        "_is_over",
        "_login",
        "_on_refused",
        "_on_taken",
        "_state",
        "_timer",
        "_tls_state",
        "_version",
        "_waits_for",
    )

    def __init__(
        self,
        front: Front,
        hand_over: HandOver,
        tls_state: memoryview,
        descriptor: int,
        adopt: Adopt,
        on_taken: Callable[[], None],
        on_refused: Callable[[Refusal], None],
    ) -> None:
        self._front = front
        self._hand_over = hand_over
        self._tls_state = tls_state
        self._descriptor = descriptor
        self._adopt = adopt
        self._on_taken = on_taken
        self._on_refused = on_refused
        self._login: Login | None = None
        self._state = front.states.blank
        self._version: int | None = None
        """Of the catalogs, before Postgres was asked for the role."""
        self._backend: Backend | None = None
        self._waits_for: BackendKind | None = None
        self._has_place = False
        """One that is ours and not yet a session's."""
        self._is_over = False
        self._timer: Timer | None = None

    def start(self) -> None:
        front = self._front
        if front.is_stopping:
            self._refuse(Refusal("57P03", "the database system is shutting down"))
            return
        if not front.take_place():
            self._refuse(_TOO_MANY)
            return
        self._has_place = True
        decision = login.decide_login(self._hand_over, front.cluster)
        if isinstance(decision, Refusal):
            self._refuse(decision)
            return
        self._login = decision
        self._state = front.states.begin(decision.settings)
        self._version = front.catalog_version.read()
        generation = front.role_settings.find(decision.kind.user, self._version)
        if decision.needs_mapping or generation is None:
            self._ask_for(_ASKING)
        else:
            self._look_for_greeting(generation)

    def _ask_for(self, kind: BackendKind) -> None:
        front = self._front
        if self._timer is None:
            self._timer = front.poller.call_at(front.poller.now_ns + front.settings.access_check_ns, self._give_up)
        self._waits_for = kind
        state = front.states.blank if kind == _ASKING else self._state
        front.want(self, kind, state)

    def _look_for_greeting(self, generation: int) -> None:
        assert self._login is not None
        kind = self._login.kind._replace(generation=generation)
        self._login = replace(self._login, kind=kind)
        parameters = self._front.greeting(kind, self._state)
        if parameters is None:
            self._ask_for(kind)
        else:
            self._take(parameters)

    # As the pool's customer.

    def serve(self, backend: Backend) -> None:
        assert self._login is not None
        self._waits_for = None
        self._backend = backend
        backend.customer = self
        if backend.kind == _ASKING:
            query = errand.role_check(login.ROLE_QUERY, self._hand_over.user, self._hand_over.principal)
            backend.run(query, self._role_checked)
        else:
            backend.adapt(self._state, self._adapted)

    def _role_checked(self, answer: Errand) -> None:
        self._release()
        if self._is_over:
            return
        if answer.error is not None:
            self._front.log.error("cannot look up role mappings: %s", answer.error.get("M"))
            self._refuse(login.unavailable())
            return
        assert self._login is not None
        refusal = login.judge_role(self._hand_over, answer.row) if self._login.needs_mapping else None
        if refusal is not None:
            self._refuse(refusal)
        else:
            fingerprint = answer.row[2] if answer.row is not None else None
            user = self._login.kind.user
            self._look_for_greeting(self._front.role_settings.note(user, self._version, fingerprint))

    def _adapted(self, error: dict[str, str] | None) -> None:
        backend = self._backend
        assert backend is not None
        if error is None:
            self._front.note_greeting(backend)
        parameters = backend.exchange.parameters
        self._release()
        if self._is_over:
            return
        if error is not None:
            self._refuse(login.refusal_of(error))
        else:
            self._take(parameters)

    def _release(self) -> None:
        backend, self._backend = self._backend, None
        assert backend is not None
        if backend.exchange.is_spent:
            backend.close()
        else:
            backend.release()

    def refuse(self, fields: dict[str, str] | None) -> None:
        is_ours = self._waits_for == _ASKING
        self._waits_for = None
        self._refuse(login.unavailable() if fields is None or is_ours else login.refusal_of(fields))

    def receive(self, data: bytes) -> None:
        raise InvariantViolation(f"{len(data)} bytes for a session that asked for nothing")

    def lose_backend(self, *, is_untouched: bool) -> None:  # noqa: ARG002 - the relay comes again
        self._backend = None
        self._refuse(login.unavailable())

    def backend_is_writable(self) -> None:
        pass

    # The answer.

    def _give_up(self) -> None:
        self._refuse(login.unavailable())

    def abandon(self) -> None:
        """The relay is gone. It had not been told, so that nobody counts on the session."""
        if not self._is_over:
            self._end()
            os.close(self._descriptor)

    def _refuse(self, refusal: Refusal) -> None:
        if not self._is_over:
            self._end()
            os.close(self._descriptor)
            self._on_refused(refusal)

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._waits_for is not None:
            self._front.withdraw(self, self._waits_for)
            self._waits_for = None
        if self._has_place:
            self._has_place = False
            self._front.give_back_place()
        cleanse(self._tls_state)

    def _take(self, parameters: Parameters) -> None:
        front, hand_over = self._front, self._hand_over
        assert self._login is not None
        if self._is_over:
            return
        try:
            records = self._adopt(self._tls_state)
        except TlsError as error:
            front.log.error("a hand-over cannot be taken: %s", error)
            self._refuse(login.unavailable())
            return
        self._has_place = False
        self._end()
        _prepare_socket(self._descriptor)
        remaining_ns = max(0, hand_over.deadline - time.time_ns())
        session, process_id, secret = front.open_session(
            self._descriptor,
            records,
            self._login.kind,
            self._state,
            parameters,
            front.poller.now_ns + remaining_ns,
        )
        # The relay lets go before the client can act on our greeting.
        self._on_taken()
        greeting = login.greeting(parameters.values, process_id, secret)
        session.greet(greeting, hand_over.unread_plaintext)


def _prepare_socket(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    connection = socket.socket(fileno=descriptor)
    try:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except OSError:
        pass  # a client that is gone already; reading tells
    finally:
        connection.detach()

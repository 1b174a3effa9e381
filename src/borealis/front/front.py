"""What the parts of a front share, and the sessions: the shell that brings poller, pool and sessions together."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from borealis.front import messages
from borealis.front.connecting import Connecting
from borealis.front.login import SUPERUSER, BackendKind
from borealis.front.places import Places
from borealis.front.poller import READ, Poller
from borealis.front.pool import Pool
from borealis.front.role_settings import CatalogVersion, RoleSettings
from borealis.front.session import Records, Session
from borealis.front.session_state import Parameters, ParameterSets, SessionState, SessionStates
from borealis.front.settings import SECOND_NS, FrontSettings
from borealis.front.statements import StatementTexts

if TYPE_CHECKING:
    from borealis.front.backend import Backend
    from borealis.front.customer import PoolCustomer

SESSION_NUMBERS: Final = 1 << 16
_OWN_BACKENDS_MAX: Final = 2
_GREETINGS_MAX: Final = 1_000
_SWEEP_NS: Final = SECOND_NS
_SHUTDOWN: Final = messages.error_response("FATAL", "57P01", "terminating connection due to administrator command")


class Front:
    def __init__(
        self,
        front_id: int,
        cluster: str,
        postgres_path: str,
        settings: FrontSettings,
        places: Places,
        catalog_version: CatalogVersion,
        on_sessions: Callable[[int], None],
    ) -> None:
        """`on_sessions` is told how many sessions there are, when that has changed, at most once a second."""
        self.front_id = front_id
        self.cluster = cluster
        self.postgres_path = postgres_path
        self.settings = settings
        self._places = places
        self.catalog_version = catalog_version
        self.role_settings = RoleSettings()
        self.log = logging.getLogger("borealis.front")
        self.poller = Poller()
        self.states = SessionStates()
        self.sets = ParameterSets()
        self.texts = StatementTexts()
        self.is_stopping = False
        self.farewells = 0
        """Connections whose session is over, and whose last bytes are on their way."""
        self._pool = self._make_pool(settings)
        # Who logs in waits for nobody's transaction: the front's own questions have backends of their own.
        own = min(settings.backends_max, _OWN_BACKENDS_MAX)
        self._own_pool = self._make_pool(replace(settings, backends_max=own, backends_target=own))
        self._pool_due_ns: int | None = None
        self._greetings: OrderedDict[tuple[BackendKind, SessionState], Parameters] = OrderedDict()
        self._sessions: dict[int, Session] = {}
        self._numbers: deque[int] = deque()
        self._next_number = 1
        self._places_taken = 0
        self._is_sweeping = False
        self._told_sessions = 0
        self._on_sessions = on_sessions
        self._stop_ns: int | None = None

    def _make_pool(self, settings: FrontSettings) -> Pool[BackendKind, Backend, PoolCustomer]:
        return Pool(settings, self._connect, self._disconnect, lambda customer, backend: customer.serve(backend))

    def _pool_of(self, kind: BackendKind) -> Pool[BackendKind, Backend, PoolCustomer]:
        return self._own_pool if kind.user == SUPERUSER else self._pool

    # Sessions.

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    def take_place(self) -> bool:
        """For one more session, unless there are too many here or in the cluster. `open_session` hands it on."""
        if self._places_taken >= self.settings.sessions_max or not self._places.take():
            return False
        self._places_taken += 1
        return True

    def give_back_place(self) -> None:
        self._places_taken -= 1
        self._places.give_back()

    def open_session(
        self,
        descriptor: int,
        records: Records,
        kind: BackendKind,
        state: SessionState,
        told: Parameters,
        deadline_ns: int,
    ) -> tuple[Session, int, int]:
        """In the place that was taken for it; with its process id and secret, as its client is to know them."""
        number = self._take_number()
        secret = secrets.randbits(32)
        session = Session(self, number, secret, descriptor, records, kind, state, told, deadline_ns)
        self._sessions[number] = session
        self.poller.add(descriptor, session, READ)
        if not self._is_sweeping:
            self._is_sweeping = True
            self.poller.call_at(self.poller.now_ns, self._sweep)
        return session, self.front_id << 16 | number, secret

    def _take_number(self) -> int:
        """The one that has been free for longest, so that an old cancel key names nobody."""
        if self._next_number < SESSION_NUMBERS:
            self._next_number += 1
            return self._next_number - 1
        return self._numbers.popleft()

    def forget(self, session: Session) -> None:
        del self._sessions[session.number]
        self._numbers.append(session.number)
        self.give_back_place()

    def find_session(self, process_id: int, secret: int) -> Session | None:
        """For whom a cancel request is, if its key is right."""
        session = self._sessions.get(process_id & 0xFFFF) if process_id >> 16 == self.front_id else None
        return session if session is not None and session.has_secret(secret) else None

    def has_to_end(self, session: Session) -> bool:
        return self.is_stopping or session.deadline_ns <= self.poller.now_ns

    def end_at_rest(self, session: Session) -> None:
        """Nothing of it is under way. At its deadline a session ends without a message."""
        session.end(_SHUTDOWN if self.is_stopping else b"")

    def _sweep(self) -> None:
        now_ns = self.poller.now_ns
        is_late = self._stop_ns is not None and now_ns >= self._stop_ns
        for session in list(self._sessions.values()):
            if session.is_over or not self.has_to_end(session):
                continue
            if session.is_at_rest:
                self.end_at_rest(session)
            elif is_late:
                session.end(_SHUTDOWN)
            elif now_ns >= session.deadline_ns + self.settings.grace_ns:
                session.end()
        if self._told_sessions != len(self._sessions):
            self._told_sessions = len(self._sessions)
            self._on_sessions(self._told_sessions)
        self._is_sweeping = bool(self._sessions)
        if self._is_sweeping:
            due_ns = now_ns + _SWEEP_NS
            if self._stop_ns is not None and not is_late:
                due_ns = min(due_ns, self._stop_ns)
            self.poller.call_at(due_ns, self._sweep)

    # Backends.

    def want(self, customer: PoolCustomer, kind: BackendKind, state: SessionState) -> None:
        now_ns = self.poller.now_ns
        if self._pool_of(kind).want(customer, kind, state, now_ns):
            return
        # It may be due to do something for this one, but not before that.
        if self._pool_due_ns is None or self._pool_due_ns > now_ns + self.settings.patience_ns:
            self._plan_pool()

    def withdraw(self, customer: PoolCustomer, kind: BackendKind) -> None:
        self._pool_of(kind).withdraw(customer, kind)

    def give_back(self, backend: Backend) -> None:
        pool = self._pool_of(backend.kind)
        pool.give_back(backend, backend.kind, self.poller.now_ns)
        if self._pool_due_ns is None and pool.backends > self.settings.backends_kept:
            self._plan_pool()  # for the day when it has been idle for too long

    def lost(self, backend: Backend) -> None:
        self._pool_of(backend.kind).lost(backend, backend.kind, self.poller.now_ns)
        self._plan_pool()

    def connected(self, backend: Backend) -> None:
        self._pool_of(backend.kind).opened(backend, backend.kind, self.poller.now_ns)
        self._plan_pool()

    def note_greeting(self, backend: Backend) -> None:
        """A session could begin in it as it is."""
        key = (backend.kind, backend.state)
        self._greetings[key] = backend.exchange.parameters
        self._greetings.move_to_end(key)
        if len(self._greetings) > _GREETINGS_MAX:
            self._greetings.popitem(last=False)

    def greeting(self, kind: BackendKind, state: SessionState) -> Parameters | None:
        """What a backend of this kind says about itself when a session begins in this state."""
        return self._greetings.get((kind, state))

    def connect_failed(self, connecting: Connecting, fields: dict[str, str] | None) -> None:
        for key in [key for key in self._greetings if key[0] == connecting.kind]:
            del self._greetings[key]
        for customer in self._pool_of(connecting.kind).failed(connecting.kind):
            customer.refuse(fields)
        self._plan_pool()

    def _connect(self, kind: BackendKind) -> None:
        Connecting(self, kind).start()

    def _disconnect(self, backend: Backend) -> None:
        backend.shut()

    def _plan_pool(self) -> None:
        times = [pool.tick(self.poller.now_ns) for pool in (self._pool, self._own_pool)]
        due_ns = min((time_ns for time_ns in times if time_ns is not None), default=None)
        if due_ns is not None and (self._pool_due_ns is None or due_ns < self._pool_due_ns):
            self._pool_due_ns = due_ns
            self.poller.call_at(due_ns, self._pool_is_due)

    def _pool_is_due(self) -> None:
        if self._pool_due_ns is not None and self._pool_due_ns <= self.poller.now_ns:
            self._pool_due_ns = None
            self._plan_pool()

    # The end.

    def stop(self) -> None:
        """Lets what is under way come to its end, for a while."""
        if self.is_stopping:
            return
        self.is_stopping = True
        self._stop_ns = self.poller.now_ns + self.settings.shutdown_grace_ns
        self._sweep()

    def run_until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            self.poller.run_once()

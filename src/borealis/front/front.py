"""What the parts of a front share, and the sessions: the shell that brings poller, pool and sessions together."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from borealis.front import messages
from borealis.front.connecting import Connecting
from borealis.front.login import BackendKind
from borealis.front.places import Places
from borealis.front.poller import READ, Poller
from borealis.front.pool import Pool
from borealis.front.session import Records, Session
from borealis.front.session_state import Parameters, ParameterSets, SessionState, SessionStates
from borealis.front.settings import SECOND_NS, FrontSettings
from borealis.front.statements import StatementTexts

if TYPE_CHECKING:
    from borealis.front.backend import Backend
    from borealis.front.customer import PoolCustomer

SESSION_NUMBERS: Final = 1 << 16
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
        on_sessions: Callable[[int], None],
    ) -> None:
        """`on_sessions` is told how many sessions there are, when that has changed, at most once a second."""
        self.front_id = front_id
        self.cluster = cluster
        self.postgres_path = postgres_path
        self.settings = settings
        self._places = places
        self.log = logging.getLogger("borealis.front")
        self.poller = Poller()
        self.states = SessionStates()
        self.sets = ParameterSets()
        self.texts = StatementTexts()
        self.is_stopping = False
        self.farewells = 0
        """Connections whose session is over, and whose last bytes are on their way."""
        self._pool: Pool[BackendKind, Backend, PoolCustomer] = Pool(
            settings, self._connect, self._disconnect, lambda customer, backend: customer.serve(backend)
        )
        self._pool_due_ns: int | None = None
        self._greetings: OrderedDict[BackendKind, Parameters] = OrderedDict()
        self._sessions: dict[int, Session] = {}
        self._numbers: deque[int] = deque()
        self._next_number = 1
        self._places_taken = 0
        self._is_sweeping = False
        self._told_sessions = 0
        self._on_sessions = on_sessions
        self._stop_ns: int | None = None

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
        self, descriptor: int, records: Records, kind: BackendKind, told: Parameters, deadline_ns: int
    ) -> tuple[Session, int, int]:
        """In the place that was taken for it; with its process id and secret, as its client is to know them."""
        number = self._take_number()
        secret = secrets.randbits(32)
        session = Session(self, number, secret, descriptor, records, kind, told, deadline_ns)
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
        if not self._pool.want(customer, kind, state, self.poller.now_ns):
            self._plan_pool()

    def withdraw(self, customer: PoolCustomer, kind: BackendKind) -> None:
        self._pool.withdraw(customer, kind)

    def give_back(self, backend: Backend) -> None:
        self._pool.give_back(backend, backend.kind, self.poller.now_ns)
        if self._pool_due_ns is None and self._pool.backends > self.settings.backends_kept:
            self._plan_pool()  # for the day when it has been idle for too long

    def lost(self, backend: Backend) -> None:
        self._pool.lost(backend, backend.kind, self.poller.now_ns)
        self._plan_pool()

    def connected(self, backend: Backend) -> None:
        self._greetings[backend.kind] = backend.exchange.parameters
        self._greetings.move_to_end(backend.kind)
        if len(self._greetings) > _GREETINGS_MAX:
            self._greetings.popitem(last=False)
        self._pool.opened(backend, backend.kind, self.poller.now_ns)
        self._plan_pool()

    def greeting(self, kind: BackendKind) -> Parameters | None:
        """What a backend of this kind said about itself when it had logged in."""
        return self._greetings.get(kind)

    def connect_failed(self, connecting: Connecting, fields: dict[str, str] | None) -> None:
        self._greetings.pop(connecting.kind, None)
        for customer in self._pool.failed(connecting.kind):
            customer.refuse(fields)
        self._plan_pool()

    def _connect(self, kind: BackendKind) -> None:
        Connecting(self, kind).start()

    def _disconnect(self, backend: Backend) -> None:
        backend.shut()

    def _plan_pool(self) -> None:
        due_ns = self._pool.tick(self.poller.now_ns)
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

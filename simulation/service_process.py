"""The transaction service as a virtual process: the production service on a virtual disk, with virtual connections.

The counterpart of `borealis.adjudicator.server`: it only carries requests in and answers out. It can die at any effect
(a write, a sync, a publication, an answer), and is started again by its supervisor.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from borealis.adjudicator.adjudicator import Request
from borealis.adjudicator.admission import DISK_FULL, STORAGE_BEHIND, TABLE_RESERVED, Admission, AdmissionLimits
from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits, WindowLimits
from borealis.adjudicator.published import Published
from borealis.adjudicator.service import RoomNeeded, ServiceLimits, TransactionService
from borealis.foundation.errors import BorealisError, InvariantViolation
from borealis.foundation.identifiers import CatalogVersion, Position, Relfilenode, SchemaVersion, Timestamp
from borealis.journal.file_journal import NoRoom
from borealis.wire.commit_messages import Answer, Refused, SequenceCall
from borealis.wire.transaction_record import TransactionRecord
from simulation.desk import Connection, Ticket, VirtualDesk
from simulation.disk import VirtualDisk
from simulation.effects import VirtualEffects
from simulation.scheduler import MICROSECOND, MILLISECOND, SECOND, Scheduler

ZONES: Final = (Path("zone-1"), Path("zone-2"))
SEGMENT_BYTES: Final = 8192

LIMITS: Final = ServiceLimits(
    AdjudicatorLimits(
        WindowLimits(window_bytes_max=1_600, generation_bytes_max=600, generation_span_ns_max=20 * MILLISECOND),
        OutcomeLimits(age_ns_max=80 * MILLISECOND, outcomes_max=60, fences_max=50),
        transaction_age_ns_max=SECOND,
    ),
    SEGMENT_BYTES,
)
ADMISSION_LIMITS: Final = AdmissionLimits(
    lag_bytes_max=3 * SEGMENT_BYTES,
    wait_ns_max=200 * MILLISECOND,
    waiting_max=8,
    reservation_ns_max=60 * MILLISECOND,
    reserved_wait_ns_max=10 * MILLISECOND,
    group_bytes_max=2_000,
)


class ProcessKilled(BaseException):
    """The process in whose name the code runs is no more."""


class TransactionsPage:
    """The shared page: survives the process, not the machine."""

    def __init__(self) -> None:
        self.published = Published(Timestamp(0), SchemaVersion(0), CatalogVersion(0))


class ServiceProcess:
    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        disk: VirtualDisk,
        page: TransactionsPage,
        zones: int,
        make_service: Callable[..., TransactionService],
        oldest_reader: Callable[[], Timestamp],
    ) -> None:
        self._scheduler = scheduler
        self._random = random
        self.disk = disk
        self._page = page
        self._zones = ZONES[:zones]
        self._make_service = make_service
        self._oldest_reader = oldest_reader
        self.service: TransactionService | None = None
        self.clock_error = 0
        self.life = 0
        self.connections: list[Connection] = []
        self.feed_listeners: list[Callable[[], None]] = []
        self.ticks_to_live: int | None = None
        self.takes_along: Callable[[], None] = lambda: None
        """What else ends when the process is killed at an effect: the machine, if that is what killed it."""
        self.deaths = 0
        self.fatal: list[BaseException] = []
        """Ends that the production code chose itself; the world decides which of them it provoked."""

    def _now(self) -> Timestamp:
        return Timestamp(self._scheduler.now + self.clock_error)

    # Life and death

    def start(self) -> None:
        self.life += 1
        self.disk.tick = self._tick
        self._admission = Admission(ADMISSION_LIMITS)
        self._desk = VirtualDesk(ADMISSION_LIMITS.waiting_max, ADMISSION_LIMITS.reservation_ns_max)
        self._questions: list[Ticket] = []
        self._is_group_due = False
        self._preparation: Iterator[None] | None = None
        self._snapshot = Position(0)
        self._acknowledged_before = Timestamp(0)
        self._run(self._recover)

    def _recover(self) -> None:
        service = self._make_service(self.disk, self._zones, VirtualEffects(self._publish, self._feed), LIMITS)
        recovered = service.adjudicator.published.acknowledged
        if self._page.published.acknowledged > recovered:
            raise InvariantViolation("acknowledged commits are missing from the journal")
        self._applied = service.journal.end
        service.take_lease(self._now(), self._random.getrandbits(32))
        self.service = service
        life = self.life
        self._scheduler.after(20 * MILLISECOND, lambda: self._maintain(life))

    def _tick(self) -> None:
        if self.ticks_to_live is not None:
            self.ticks_to_live -= 1
            if self.ticks_to_live < 0:
                raise ProcessKilled

    def _run(self, action: Callable[[], None]) -> None:
        """Do something in the name of the process, which it may not survive."""
        try:
            action()
        except ProcessKilled:
            self.kill()
            takes_along, self.takes_along = self.takes_along, lambda: None
            takes_along()
        except NoRoom:
            self.kill()  # no room even for a lease: the supervisor tries again
        except BorealisError as error:
            self.fatal.append(error)
            self.kill()

    def kill(self) -> None:
        self.service = None
        self.life += 1
        self.deaths += 1
        self.ticks_to_live = None
        self.disk.tick = lambda: None
        connections, self.connections = self.connections, []
        for connection in connections:
            self.hang_up(connection)
        self._scheduler.after(self._random.randint(1, 30) * MILLISECOND, self._restart)

    def _restart(self) -> None:
        if self.service is None:
            self.start()

    def lose_power(self) -> None:
        """The page was in memory only as far as is certain."""
        self._page.published = Published(Timestamp(0), SchemaVersion(0), CatalogVersion(0))

    # The effects of the service

    def _publish(self, published: Published, lease_start: Timestamp) -> None:  # noqa: ARG002 - in no way used here
        self._tick()
        self._page.published = published
        self._tick()

    def _feed(self) -> None:
        self._tick()
        for listener in self.feed_listeners:
            listener()

    # Requests

    def connect(self, deliver: Callable[[int, Answer | None], None]) -> Connection | None:
        if self.service is None:
            return None
        connection = Connection(deliver)
        self.connections.append(connection)
        return connection

    def hang_up(self, connection: Connection) -> None:
        """The connection breaks: the client learns of it, the service keeps nothing for it."""
        if connection.is_open:
            connection.is_open = False
            self._scheduler.after(self._delay(), lambda: connection.deliver(0, None))
            self.release(connection)

    def reserve(self, connection: Connection, tables: list[Relfilenode]) -> None:
        """Whoever has reserved releases, or is hung up on."""
        if self.service is not None and connection.is_open:
            self._desk.reserve(connection, tables, self._now())

    def release(self, connection: Connection) -> None:
        if self.service is not None:
            self._desk.release(connection)
            self._schedule_group()

    def receive(self, connection: Connection, number: int, request: Request) -> None:
        if self.service is None:
            return
        ticket = Ticket(connection, number, request, self._now())
        if type(request) is not TransactionRecord:
            self._questions.append(ticket)
        elif not self._desk.offer(ticket):
            self._refuse([ticket], STORAGE_BEHIND)
            return
        self._schedule_group()
        life = self.life
        for limit in (ADMISSION_LIMITS.reserved_wait_ns_max, ADMISSION_LIMITS.wait_ns_max):
            self._scheduler.after(limit, lambda: self._run_in(life, self._expire))

    def _schedule_group(self) -> None:
        if not self._is_group_due and (self._desk.queued or self._questions):
            self._is_group_due = True
            life = self.life
            self._scheduler.after(
                self._random.randint(1, 50) * MICROSECOND, lambda: self._run_in(life, self._run_group)
            )

    def _run_in(self, life: int, action: Callable[[], None]) -> None:
        if life == self.life:
            self._run(action)

    def _run_group(self) -> None:
        assert self.service is not None
        admission = self._admission
        self._is_group_due = False
        admission.note_lag(self.service.journal.end - self._applied)
        queue = self._desk if self._desk.queued and not admission.holds_transactions else None
        questions = self._take_questions()
        if queue is not None or questions:
            self._decide(self.service, queue, questions)
            if not admission.holds_transactions:
                self._schedule_group()

    def _take_questions(self) -> list[Ticket]:
        """Those that may be answered now."""
        questions, self._questions = self._questions, []
        if self._admission.holds_sequences:
            self._questions = [each for each in questions if type(each.request) is SequenceCall]
            questions = [each for each in questions if type(each.request) is not SequenceCall]
        return questions

    def _decide(self, service: TransactionService, queue: VirtualDesk | None, questions: list[Ticket]) -> None:
        requests = [question.request for question in questions]
        try:
            answers = service.run_group(self._now(), requests, queue, ADMISSION_LIMITS.group_bytes_max)
        except RoomNeeded as needed:
            self._questions = questions + self._questions
            self._admission.await_room()
            self._prepare_spare(needed.spare_bytes)
            self._schedule_group()
            return
        for ticket, answer in [*self._desk.take_decided(), *zip(questions, answers, strict=True)]:
            self._tick()
            self._answer(ticket.connection, ticket.number, answer)
        if service.journal.is_spare_due and self._random.random() < 0.5:
            self._prepare_spare(0)

    def _answer(self, connection: Connection, number: int, answer: Answer) -> None:
        def arrive() -> None:
            if connection.is_open:
                connection.deliver(number, answer)

        self._scheduler.after(self._delay(), arrive)

    def _delay(self) -> int:
        return self._random.randint(5, 300) * MICROSECOND

    # Waiting

    def _prepare_spare(self, spare_bytes: int) -> None:
        assert self.service is not None
        if self._preparation is None:
            self._preparation = self.service.journal.prepare_spare(spare_bytes)
            life = self.life
            self._scheduler.after(0, lambda: self._run_in(life, self._step_preparation))

    def _step_preparation(self) -> None:
        assert self._preparation is not None
        try:
            next(self._preparation)
        except StopIteration:
            self._preparation = None
        except NoRoom:
            self._preparation = None
            if self._admission.is_room_awaited:
                self._refuse_all(DISK_FULL)
        if self._preparation is None:
            self._admission.note_room()
            self._schedule_group()
        else:
            life = self.life
            self._scheduler.after(100 * MICROSECOND, lambda: self._run_in(life, self._step_preparation))

    def _expire(self) -> None:
        if self._preparation is None:
            now, admission, desk = self._now(), self._admission, self._desk
            self._refuse(desk.take_arrived(admission.latest_to_expire(now)), STORAGE_BEHIND)
            desk.release_aged(now)
            self._refuse(desk.take_held(admission.latest_overdue(now)), TABLE_RESERVED)
            self._schedule_group()

    def _refuse_all(self, refusal: Refused) -> None:
        """Whatever waits for the journal; an outcome that is asked for may be that of a commit."""
        sequences = [each for each in self._questions if type(each.request) is SequenceCall]
        self._questions = [each for each in self._questions if type(each.request) is not SequenceCall]
        self._refuse([*self._desk.take_all(), *sequences], refusal)

    def _refuse(self, tickets: list[Ticket], refusal: Refused) -> None:
        assert self.service is not None
        for ticket in tickets:
            self._answer(ticket.connection, ticket.number, self.service.give_up(ticket.request, refusal))

    # Followers and housekeeping

    @property
    def acknowledged(self) -> Timestamp:
        return self._page.published.acknowledged

    def note_applied(self, position: Position) -> None:
        """A message of the follower; like the next one it arrives a moment later."""

        def arrive() -> None:
            self._applied = max(self._applied, position)
            self._schedule_group()

        self._arrive_later(arrive)

    def note_snapshot(self, position: Position) -> None:
        def arrive() -> None:
            self._snapshot = max(self._snapshot, position)
            self._truncate()

        self._arrive_later(arrive)

    def _arrive_later(self, arrive: Callable[[], None]) -> None:
        life = self.life
        self._scheduler.after(self._delay(), lambda: self._run_in(life, arrive) if self.service else None)

    def _truncate(self) -> None:
        assert self.service is not None
        self.service.truncate(self._now(), self._snapshot)

    def _maintain(self, life: int) -> None:
        if life == self.life:
            self._run(self._forget)
            self._scheduler.after(20 * MILLISECOND, lambda: self._maintain(life))

    def _forget(self) -> None:
        assert self.service is not None
        acknowledged = self.service.adjudicator.published.acknowledged
        oldest = min(self._oldest_reader() or acknowledged, self._acknowledged_before)
        self._acknowledged_before = acknowledged
        self.service.forget(self._now(), oldest)
        self._truncate()

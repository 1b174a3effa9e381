"""One run: builds the world of a seed, lets it live, heals it, and has it judged."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, cast

from borealis.adjudicator.adjudicator import Adjudicator
from borealis.adjudicator.service import TransactionService
from borealis.foundation.errors import InvariantViolation
from borealis.storage.replica import Replica
from simulation.checkers.judgement import Evidence, Violation, judge
from simulation.client import Machine, Session
from simulation.disk import VirtualDisk
from simulation.faults import TWO_ZONE_FAULTS, Fault, FaultPlan, draw_faults
from simulation.history import History
from simulation.reference import ReferenceAdjudicator
from simulation.scheduler import MILLISECOND, SECOND, Scheduler, Task
from simulation.service_process import ServiceProcess, TransactionsPage
from simulation.storage_process import SETTINGS, StorageProcess

START: Final = 1_700_000_000 * SECOND
HEALING: Final = 3 * SECOND


@dataclass(frozen=True)
class Parts:
    """The production parts of a world; planted bugs put others in their place."""

    make_service: Callable[..., TransactionService] = TransactionService
    make_replica: Callable[..., Replica] = lambda ordered_map: Replica(ordered_map, SETTINGS)
    storage_process: type[StorageProcess] = StorageProcess


REFERENCE: Final = Parts(
    make_service=partial(TransactionService, make_adjudicator=cast(Callable[..., Adjudicator], ReferenceAdjudicator))
)
"""The same world with the adjudicator's specification in its place."""


@dataclass(frozen=True)
class Report:
    seed: int
    faults: list[Fault]
    history: History
    violations: list[Violation]
    service_deaths: int


class World:
    def __init__(self, seed: int, parts: Parts, faults: list[Fault] | None) -> None:
        self._seed = seed
        self._random = Random(seed)
        self.faults = draw_faults(self._random) if faults is None else faults
        self._scheduler = Scheduler(START)
        self._disk = VirtualDisk(self._child_random())
        page = TransactionsPage()
        zones = 2 if TWO_ZONE_FAULTS.intersection(self.faults) or self._random.random() < 0.2 else 1
        self._service = ServiceProcess(
            self._scheduler,
            self._child_random(),
            self._disk,
            page,
            zones,
            parts.make_service,
            lambda: self._machine.oldest_reader(),
        )
        self._machine = Machine(self._scheduler, self._service, page)
        self._machine.loses_connections = Fault.CONNECTIONS in self.faults
        self._storage = parts.storage_process(
            self._scheduler,
            self._child_random(),
            self._service,
            self._machine.storage_page,
            parts.make_replica,
            self._machine.reader_slots,
        )
        self._machine.map = lambda: self._storage.map
        self._tasks: list[Task] = []
        self._clients = self._random.randint(2, 6)
        self._client_number = 0

    def _child_random(self) -> Random:
        """A stream of its own for each part, so that one part's draws do not shift another's."""
        return Random(self._random.getrandbits(64))

    def run(self, duration: int) -> Report:
        self._service.start()
        self._storage.start()
        self._start_clients()
        plan = FaultPlan(
            self._scheduler, self._child_random(), self.faults, self._service, self._storage, self._lose_power
        )
        self._scheduler.run_until(START + duration)
        plan.stop()
        self._machine.is_over = True
        self._wait_until(self._is_quiet)
        last = Session(0, self._machine, self._child_random())
        Task(self._scheduler, last.read_everything())
        self._wait_until(lambda: any(attempt.client == 0 for attempt in self._machine.history.attempts[-1:]))
        evidence = Evidence(self._machine.history, self._service, self._storage, self._disk, self._unexpected_ends())
        return Report(self._seed, self.faults, self._machine.history, judge(evidence), self._service.deaths)

    def _wait_until(self, is_reached: Callable[[], bool]) -> None:
        """Let the world go on until then; a world that never gets there is judged as it is in the end."""
        end = self._scheduler.now + HEALING
        while self._scheduler.now < end and not is_reached():
            self._scheduler.run_until(self._scheduler.now + 10 * MILLISECOND)

    def _is_quiet(self) -> bool:
        """Everything works, every client has gone, and storage has all that is in the journal."""
        service, replica = self._service.service, self._storage.replica
        if service is None or replica is None or not all(task.is_over for task in self._tasks):
            return False
        return replica.progress.position == service.journal.end

    def _start_clients(self) -> None:
        """Query processors start on a machine whose services are ready: until then its pages say nothing true."""
        if self._machine.is_over:
            return
        if self._service.service is None or self._storage.replica is None:
            self._scheduler.after(MILLISECOND, self._start_clients)
            return
        for _ in range(self._clients):
            self._client_number += 1
            session = Session(self._client_number, self._machine, self._child_random())
            self._tasks.append(Task(self._scheduler, session.script()))

    def _lose_power(self, meanwhile: Callable[[], None]) -> None:
        """Everything on the machine stops at once; then it starts again, with what was durable."""
        self._service.kill()
        self._storage.kill()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._disk.lose_power()
        self._storage.lose_power()
        self._service.lose_power()
        meanwhile()
        self._scheduler.after(50 * MILLISECOND, self._start_clients)

    def _unexpected_ends(self) -> list[BaseException]:
        """Processes may only have ended themselves where a fault made them: a sync that failed."""
        ends = [*self._service.fatal, *self._storage.fatal]
        if Fault.SYNC_FAILURE in self.faults:
            ends = [end for end in ends if not (isinstance(end, InvariantViolation) and "errno" in str(end).lower())]
        return ends


def run(
    seed: int,
    parts: Parts | None = None,
    faults: list[Fault] | None = None,
    duration: int = 400 * MILLISECOND,
) -> Report:
    """The same seed, parts and faults give the same report."""
    return World(seed, parts or Parts(), faults).run(duration)

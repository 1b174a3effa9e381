"""Storage as a virtual process: the production replica on a map in memory, following the service's journal.

The counterpart of `borealis.storage.server`. The map and its page survive the process; the machine's end leaves only
the snapshots that had become durable.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Protocol

from borealis.foundation.errors import BorealisError, InvariantViolation
from borealis.foundation.identifiers import NO_TIMESTAMP, Position
from borealis.journal.reading import read_batches, read_giant
from borealis.storage.horizon import HorizonTracker, ReaderSlot
from borealis.storage.ordered_map import MemoryMap, OrderedMap, Table
from borealis.storage.replica import Replica
from borealis.storage.settings import StorageSettings
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import decode_batch_header
from simulation.scheduler import MICROSECOND, MILLISECOND, SECOND, Scheduler
from simulation.service_process import ProcessKilled, ServiceProcess

SETTINGS = StorageSettings(
    chunk_writes_max=4,
    horizon_lag_ns=5 * MILLISECOND,
    collect_busy_overwrites=3,
    collect_keys_min=2,
    collect_keys_max=8,
    collect_queue_max=16,
    sweep_entries=7,
    transaction_age_max_ns=SECOND,
    transaction_age_grace_ns=SECOND,
)

Tables = dict[Table, dict[bytes, bytes]]


class StoredMap(OrderedMap, Protocol):
    """A map whose contents can be looked at from outside."""

    @property
    def tables(self) -> Tables: ...


class StoragePage:
    def __init__(self) -> None:
        self.applied = NO_TIMESTAMP
        self.horizon = NO_TIMESTAMP


class StorageProcess:
    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        service: ServiceProcess,
        page: StoragePage,
        make_replica: Callable[..., Replica],
        reader_slots: Callable[[], Iterable[ReaderSlot]],
    ) -> None:
        self._scheduler = scheduler
        self._random = random
        self._service = service
        self._page = page
        self._make_replica = make_replica
        self._reader_slots = reader_slots
        self.map = self._make_map(None)
        self.replica: Replica | None = None
        self.life = 0
        self.ticks_to_live: int | None = None
        self.is_slow = False
        self.fatal: list[BaseException] = []
        self._snapshots: list[tuple[Position, Tables]] = []
        service.feed_listeners.append(self._notice)

    @staticmethod
    def _make_map(tables: Tables | None) -> StoredMap:
        return MemoryMap(tables)

    # Life and death

    def start(self) -> None:
        self.life += 1
        self._run(self._open)

    def _open(self) -> None:
        self.replica = self._make_replica(self.map)
        self._horizon = HorizonTracker(
            max(self._page.horizon, self.replica.collected_horizon),
            SETTINGS.horizon_lag_ns,
            SETTINGS.transaction_age_max_ns + SETTINGS.transaction_age_grace_ns,
        )
        self._arrived: deque[Octets] = deque()
        self._is_applying = False
        self._followed_life = 0
        self.publish_progress()
        self._later(self._random.randint(1, 5) * MILLISECOND, self._keep_house)
        self._later(0, self._follow)

    def kill(self) -> None:
        self.replica = None
        self.life += 1
        self.ticks_to_live = None
        self._scheduler.after(self._random.randint(1, 30) * MILLISECOND, self._restart)

    def _restart(self) -> None:
        if self.replica is None:
            self.start()

    def lose_power(self) -> None:
        """What the cache held of the map is gone; the newest durable snapshot takes its place."""
        self.map = self._make_map(self._snapshots[-1][1] if self._snapshots else None)
        self._page.applied = self._page.horizon = NO_TIMESTAMP

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ProcessKilled:
            self.kill()
        except BorealisError as error:
            self.fatal.append(error)
            self.kill()

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        life = self.life
        self._scheduler.after(delay, lambda: self._run(action) if life == self.life else None)

    def _tick(self) -> None:
        if self.ticks_to_live is not None:
            self.ticks_to_live -= 1
            if self.ticks_to_live < 0:
                raise ProcessKilled

    # Following

    def _notice(self) -> None:
        if self.replica is not None:
            self._later(self._random.randint(5, 200) * MICROSECOND, self._receive)

    def _follow(self) -> None:
        """Connect, or look again later."""
        service = self._service.service
        replica = self.replica
        assert replica is not None
        if service is not None and self._followed_life != self._service.life:
            position = replica.progress.position
            if position > service.journal.end:
                raise InvariantViolation(f"storage has applied {position}, the journal ends at {service.journal.end}")
            self._followed_life = self._service.life
            self._arrived.clear()
            self._next = position
            self._receive()
            if self._snapshots:
                self._service.note_snapshot(self._snapshots[-1][0])
        self._later(3 * MILLISECOND, self._follow)

    def _receive(self) -> None:
        if self._service.service is None or self._followed_life != self._service.life:
            return
        for position, batch in self._batches_from(self._next):
            self._arrived.append(batch)
            self._next = Position(position + len(batch))
        self._schedule_apply()

    def _batches_from(self, position: Position) -> Iterator[tuple[Position, Octets]]:
        """What a follower gets."""
        assert self._service.service is not None
        view = self._service.service.journal_view
        while (found := read_batches(view, position)) is not None:
            if found.giant is not None:
                yield found.start, b"".join(read_giant(view, found.giant))
            offset = 0
            while offset < len(found.data):
                header = decode_batch_header(found.data, offset)
                yield header.position, found.data[offset : offset + header.length]
                offset += header.length
            position = found.end

    def _schedule_apply(self) -> None:
        if not self._is_applying and self._arrived:
            self._is_applying = True
            delay = 20 * MILLISECOND if self.is_slow else self._random.randint(10, 300) * MICROSECOND
            self._later(delay, self._apply)

    def _apply(self) -> None:
        assert self.replica is not None
        self._is_applying = False
        if self._service.service is None or self._followed_life != self._service.life:
            self._arrived.clear()
            return
        before = self.replica.progress
        count = self._random.randint(1, len(self._arrived) or 1)
        batches = [self._arrived.popleft() for _ in range(min(count, len(self._arrived)))]
        for _ in self._bring(self.replica, batches):
            self._tick()
        if self.replica.progress != before:
            self.publish_progress()
            self._tick()
            self._service.note_applied(self.replica.progress.position)
        self._schedule_apply()

    @staticmethod
    def _bring(replica: Replica, batches: Sequence[Octets]) -> Iterator[None]:
        """The batches into the map; each step is one committed transaction."""
        plan = replica.plan(batches)
        if plan.after != plan.before:
            yield from replica.write(plan)

    def publish_progress(self) -> None:
        assert self.replica is not None
        self._page.applied = self.replica.progress.timestamp

    # Housekeeping

    def _keep_house(self) -> None:
        replica = self.replica
        assert replica is not None
        decision = self._horizon.decide(
            self._scheduler.now, replica.progress.timestamp, self._service.acknowledged, list(self._reader_slots())
        )
        self._page.horizon = max(self._page.horizon, decision.publish)
        if decision.collect:
            self._tick()
            replica.sweep(decision.collect)
            self._tick()
            replica.collect(decision.collect, 4)
            self._tick()
        if self._random.random() < 0.03:
            self._take_snapshot()
        self._later(5 * MILLISECOND, self._keep_house)

    def _take_snapshot(self) -> None:
        assert self.replica is not None
        position = self.replica.progress.position
        tables = {table: dict(entries) for table, entries in self.map.tables.items()}
        self._later(self._random.randint(1, 40) * MILLISECOND, lambda: self._finish_snapshot(position, tables))

    def _finish_snapshot(self, position: Position, tables: Tables) -> None:
        if self._snapshots and position < self._snapshots[-1][0]:
            return  # a later one was finished before it
        self._snapshots.append((position, tables))
        if self._followed_life == self._service.life:
            self._service.note_snapshot(position)

"""What goes wrong in a run: which kinds, and when. Each seed draws its own few kinds, so that they also occur alone."""

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Final

from simulation.scheduler import MILLISECOND, Scheduler
from simulation.service_process import SEGMENT_BYTES, ZONES, ServiceProcess
from simulation.storage_process import StorageProcess


class Fault(Enum):
    KILL_SERVICE = "the service is killed between two effects"
    KILL_STORAGE = "storage is killed between two effects"
    POWER_LOSS = "the machine stops"
    CONNECTIONS = "connections are lost"
    CLOCK = "the clock jumps"
    DISK_FULL = "the journal's disk is full for a while"
    SYNC_FAILURE = "a sync fails"
    SLOW_STORAGE = "storage is slow for a while"
    ZONE_LOSS = "the machine stops and a zone comes back empty"
    ZONE_DAMAGE = "the machine stops and a bit of a zone has flipped"


TWO_ZONE_FAULTS: Final = frozenset((Fault.ZONE_LOSS, Fault.ZONE_DAMAGE))


def draw_faults(random: Random) -> list[Fault]:
    """The kinds of one run; none at all in one of eight."""
    if random.random() < 0.125:
        return []
    return [fault for fault in Fault if random.random() < 0.3]


class FaultPlan:
    """Injects faults of the drawn kinds at random times until it is told to stop."""

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        kinds: list[Fault],
        service: ServiceProcess,
        storage: StorageProcess,
        lose_power: Callable[[Callable[[], None]], None],
    ) -> None:
        self._scheduler = scheduler
        self._random = random
        self._kinds = kinds
        self._service = service
        self._storage = storage
        self._lose_power = lose_power
        # One zone fails at a time, and what has failed in it may only be found when it is read.
        self._bad_zone = random.choice(ZONES)
        self._is_over = False
        if kinds:
            self._plan_next()

    def stop(self) -> None:
        """From here on nothing goes wrong any more."""
        self._is_over = True
        self._service.ticks_to_live = None
        self._service.takes_along = lambda: None
        self._storage.ticks_to_live = None
        self._storage.is_slow = False
        self._service.disk.capacity = None
        self._service.disk.fails_next_sync = False

    def _plan_next(self) -> None:
        self._scheduler.after(self._random.randint(2, 60) * MILLISECOND, self._strike)

    def _strike(self) -> None:
        if self._is_over:
            return
        self._inject(self._random.choice(self._kinds))
        self._plan_next()

    def _inject(self, fault: Fault) -> None:
        random = self._random
        match fault:
            case Fault.KILL_SERVICE:
                self._service.ticks_to_live = random.randint(0, 40)
            case Fault.KILL_STORAGE:
                self._storage.ticks_to_live = random.randint(0, 10)
            case Fault.POWER_LOSS if random.random() < 0.3:
                self._lose_power(lambda: None)
            case Fault.POWER_LOSS:  # in the middle of something
                self._service.ticks_to_live = random.randint(0, 40)
                self._service.takes_along = lambda: self._lose_power(lambda: None)
            case Fault.CONNECTIONS:
                self._break_connection()
            case Fault.CLOCK:
                self._service.clock_error = random.choice((-1, 1)) * random.randint(0, 300) * MILLISECOND
            case Fault.DISK_FULL:
                self._fill_disk()
            case Fault.SYNC_FAILURE:
                self._service.disk.fails_next_sync = True
            case Fault.SLOW_STORAGE:
                self._storage.is_slow = not self._storage.is_slow
            case Fault.ZONE_LOSS | Fault.ZONE_DAMAGE if self._service.service is None:
                pass  # what the last fault did to the other zone has not been repaired yet
            case Fault.ZONE_LOSS:
                self._lose_power(lambda: self._service.disk.wipe(self._bad_zone))
            case Fault.ZONE_DAMAGE:
                self._lose_power(self._flip_a_bit)

    def _break_connection(self) -> None:
        connections = [connection for connection in self._service.connections if connection.is_open]
        if connections:
            self._service.hang_up(self._random.choice(connections))

    def _fill_disk(self) -> None:
        disk = self._service.disk
        used = sum(map(len, disk.files().values()))
        disk.capacity = used + self._random.randint(0, SEGMENT_BYTES)
        self._scheduler.after(self._random.randint(10, 80) * MILLISECOND, lambda: setattr(disk, "capacity", None))

    def _flip_a_bit(self) -> None:
        files = {
            path: data for path, data in self._service.disk.files().items() if data and path.parent == self._bad_zone
        }
        if files:
            path = self._random.choice(sorted(files))
            self._service.disk.flip_bit(path, self._random.randrange(len(files[path])), self._random.randrange(8))

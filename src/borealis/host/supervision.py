"""Which process is started, restarted or stopped when. Pure: events and the time go in, effects come out, in order.

Services come up in stages, each when the one before is ready, and go down in the opposite order. A service that was
ready and ends is started again: at once the first time, then after pauses that double up to a bound, for ever. One that
ends before it was ever ready has nothing to go back to: the host stops and says why.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

# A service that lived this long has recovered; its next end is a first one.
SETTLED_S = 10.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0
# How long a service may take to stop before the next, harder signal; and to start before the operator hears of it.
PATIENCE_S = 10.0
# Ways to end a process, from polite to certain.
SEVERITY_MAX = 2


@dataclass(frozen=True)
class Start:
    name: str


@dataclass(frozen=True)
class Stop:
    """Ask a process to end. `severity` 0 is polite, SEVERITY_MAX cannot be refused."""

    name: str
    severity: int


@dataclass(frozen=True)
class Announce:
    """The service is ready for the first time."""

    name: str


@dataclass(frozen=True)
class Log:
    text: str


@dataclass(frozen=True)
class Finish:
    """Every process has ended. `has_failed` when that was not asked for."""

    has_failed: bool


Effect = Start | Stop | Announce | Log | Finish


class State(Enum):
    IDLE = auto()
    STARTING = auto()
    READY = auto()
    PAUSING = auto()


@dataclass
class Service:
    name: str
    stage: int
    state: State = State.IDLE
    since: float = 0.0
    deadline: float | None = None
    was_ready: bool = False
    failures: int = 0
    severity: int = 0


def pause_before_restart(failures: int) -> float:
    """Seconds to wait after so many ends in a row (the first is number 1)."""
    if failures <= 1:
        return 0.0
    return min(PAUSE_FIRST_S * 2.0 ** min(failures - 2, 16), PAUSE_MAX_S)


class Supervision:
    """Every method returns the effects to carry out; `deadline` says when to call `tick` at the latest."""

    def __init__(self, stages: Sequence[Sequence[str]]) -> None:
        self._services = {name: Service(name, number) for number, names in enumerate(stages) for name in names}
        self._last_stage = len(stages) - 1
        # The stage being brought up, or (while stopping) brought down.
        self._stage = 0
        self._is_stopping = False
        self._has_failed = False
        self._is_finished = False

    @property
    def deadline(self) -> float | None:
        return min((s.deadline for s in self._services.values() if s.deadline is not None), default=None)

    def is_running(self, name: str) -> bool:
        return self._services[name].state in (State.STARTING, State.READY)

    def is_ready(self, name: str) -> bool:
        return self._services[name].state is State.READY

    def begin(self, now: float) -> list[Effect]:
        return list(self._start_stage(now))

    def ready(self, name: str, now: float) -> list[Effect]:
        service = self._services[name]
        if service.state is not State.STARTING:
            return []
        service.state, service.deadline = State.READY, None
        effects: list[Effect] = []
        if service.was_ready:
            effects.append(Log(f"{name} is back"))
        else:
            service.was_ready = True
            effects.append(Announce(name))
        if not self._is_stopping and self._stage < self._last_stage and all(s.was_ready for s in self._current()):
            self._stage += 1
            effects.extend(self._start_stage(now))
        return effects

    def exited(self, name: str, how: str, now: float) -> list[Effect]:
        service = self._services[name]
        lived = now - service.since
        service.state, service.deadline = State.IDLE, None
        if self._is_stopping:
            return list(self._continue_stop(now))
        if not service.was_ready:
            self._has_failed = True
            return [Log(f"{name} could not start: {how}"), *self.stop(now)]
        service.failures = 1 if lived >= SETTLED_S else service.failures + 1
        pause = pause_before_restart(service.failures)
        if pause == 0.0:
            return [Log(f"{name} ended ({how}); starting it again"), self._start(service, now)]
        service.state, service.deadline = State.PAUSING, now + pause
        return [Log(f"{name} ended ({how}); starting it again in {pause:.1f} s")]

    def stop(self, now: float) -> list[Effect]:
        """Stop everything. Called again, stop it harder."""
        if self._is_stopping:
            return [e for s in self._current() for e in self._insist(s, now)]
        self._is_stopping = True
        for service in self._services.values():
            service.deadline = None
            if service.state is State.PAUSING:
                service.state = State.IDLE
        self._stage = self._last_stage
        return list(self._stop_stage(now))

    def tick(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for service in self._services.values():
            if service.deadline is None or now < service.deadline:
                continue
            if service.state is State.PAUSING:
                effects.append(self._start(service, now))
            elif self._is_stopping:
                effects.extend(self._insist(service, now))
            else:
                service.deadline = None
                effects.append(Log(f"still waiting for {service.name}"))
        return effects

    def _current(self) -> list[Service]:
        return [s for s in self._services.values() if s.stage == self._stage]

    def _start_stage(self, now: float) -> Iterator[Effect]:
        for service in self._current():
            yield self._start(service, now)

    def _start(self, service: Service, now: float) -> Effect:
        service.state, service.since, service.deadline = State.STARTING, now, now + PATIENCE_S
        return Start(service.name)

    def _stop_stage(self, now: float) -> Iterator[Effect]:
        for service in self._current():
            if service.state in (State.STARTING, State.READY):
                service.severity, service.deadline = 0, now + PATIENCE_S
                yield Stop(service.name, 0)
        yield from self._continue_stop(now)

    def _continue_stop(self, now: float) -> Iterator[Effect]:
        """Go down a stage once the current one is empty."""
        if self._is_finished or any(s.state is not State.IDLE for s in self._current()):
            return
        if self._stage > 0:
            self._stage -= 1
            yield from self._stop_stage(now)
        else:
            self._is_finished = True
            yield Finish(self._has_failed)

    def _insist(self, service: Service, now: float) -> Iterator[Effect]:
        if service.state in (State.STARTING, State.READY):
            service.severity = min(service.severity + 1, SEVERITY_MAX)
            service.deadline = now + PATIENCE_S
            yield Stop(service.name, service.severity)

"""Which process is started, restarted or stopped when. Pure: events and the time go in, effects come out, in order.

Services belong to groups (a cluster is one, what serves all clusters another) that come and go. Within a group they
come up in stages, each when the one before is ready, and go down in the opposite order. A service that was ready and
ends is started again: at once the first time, then after pauses that double up to a bound, for ever. One that ends
before it was ever ready has nothing to go back to: its group stops and says why, and with a group that the host cannot
do without, the host.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
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
class GroupReady:
    """Every service of the group is ready, or was."""

    group: str


@dataclass(frozen=True)
class GroupEnded:
    """Every process of the group has ended. `problem` says why when that was not asked for."""

    group: str
    problem: str | None


@dataclass(frozen=True)
class Finish:
    """Every process has ended. `has_failed` when that was not asked for."""

    has_failed: bool


Effect = Start | Stop | Announce | Log | GroupReady | GroupEnded | Finish


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


class Group:
    """Services that come up and go down together. Every method returns the effects to carry out; `deadline` says when
    to call `tick` at the latest."""

    def __init__(self, name: str, stages: Sequence[Sequence[str]], eager: Collection[str] = ()) -> None:
        """`eager` services start with the first stage, whatever theirs is: it says only when they are to be stopped."""
        self.name = name
        self._eager = eager
        self._services = {name: Service(name, number) for number, names in enumerate(stages) for name in names}
        self._last_stage = len(stages) - 1
        # The stage being brought up, or (while stopping) brought down.
        self._stage = 0
        self._is_stopping = False
        self._problem: str | None = None
        self._is_finished = False

    @property
    def services(self) -> Iterable[str]:
        return self._services

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping

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
        if service.was_ready:
            return [Log(f"{name} is back")]
        service.was_ready = True
        effects: list[Effect] = [Announce(name)]
        while not self._is_stopping and all(s.was_ready for s in self._current()):
            if self._stage == self._last_stage:
                return [*effects, GroupReady(self.name)]
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
            self._problem = f"{name} could not start: {how}"
            return [Log(self._problem), *self.stop(now)]
        service.failures = 1 if lived >= SETTLED_S else service.failures + 1
        pause = pause_before_restart(service.failures)
        if pause == 0.0:
            return [Log(f"{name} ended ({how}); starting it again"), self._start(service, now)]
        service.state, service.deadline = State.PAUSING, now + pause
        return [Log(f"{name} ended ({how}); starting it again in {pause:.1f} s")]

    def stop(self, now: float) -> list[Effect]:
        """Stop all of it. Called again, stop it harder."""
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
        for service in self._services.values():
            is_due = service.stage == self._stage or service.name in self._eager
            if is_due and service.state is State.IDLE and not service.was_ready:
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
            yield GroupEnded(self.name, self._problem)

    def _insist(self, service: Service, now: float) -> Iterator[Effect]:
        if service.state in (State.STARTING, State.READY):
            service.severity = min(service.severity + 1, SEVERITY_MAX)
            service.deadline = now + PATIENCE_S
            yield Stop(service.name, service.severity)


class Supervision:
    """All groups. A service's name occurs in one group only; a group that has ended may be started anew."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._group_of: dict[str, Group] = {}
        # Those that the host cannot do without, until they have been ready once.
        self._vital: set[str] = set()
        # The front door: ends before the rest is asked to.
        self._outer: set[str] = set()
        self._is_stopping = False
        self._has_failed = False

    @property
    def deadline(self) -> float | None:
        return min((d for group in self._groups.values() if (d := group.deadline) is not None), default=None)

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping

    def knows(self, service: str) -> bool:
        return service in self._group_of

    def is_ready(self, service: str) -> bool:
        group = self._group_of.get(service)
        return group is not None and group.is_ready(service)

    def start(
        self,
        name: str,
        stages: Sequence[Sequence[str]],
        now: float,
        *,
        eager: Collection[str] = (),
        is_vital: bool = False,
        is_outer: bool = False,
    ) -> list[Effect]:
        """`is_outer`: through it come the clients of the others. Nothing is started any more once the host stops."""
        if self._is_stopping:
            return []
        group = Group(name, stages, eager)
        self._groups[name] = group
        self._group_of.update(dict.fromkeys(group.services, group))
        if is_vital:
            self._vital.add(name)
        if is_outer:
            self._outer.add(name)
        return self._pass_on(group.begin(now), now)

    def stop_group(self, name: str, now: float) -> list[Effect]:
        """Called again, it stops harder."""
        group = self._groups.get(name)
        return [] if group is None else self._pass_on(group.stop(now), now)

    def ready(self, service: str, now: float) -> list[Effect]:
        group = self._group_of.get(service)
        return [] if group is None else self._pass_on(group.ready(service, now), now)

    def exited(self, service: str, how: str, now: float) -> list[Effect]:
        group = self._group_of.get(service)
        return [] if group is None else self._pass_on(group.exited(service, how, now), now)

    def tick(self, now: float) -> list[Effect]:
        return [effect for group in list(self._groups.values()) for effect in self._pass_on(group.tick(now), now)]

    def stop(self, now: float) -> list[Effect]:
        """Stop everything, the front door first. Called again, stop what is being stopped harder."""
        if self._is_stopping:
            stopping = [group for group in self._groups.values() if group.is_stopping]
            return [effect for group in stopping for effect in self._pass_on(group.stop(now), now)]
        self._is_stopping = True
        return self._go_down(now)

    def _go_down(self, now: float) -> list[Effect]:
        if not self._groups:
            return [Finish(self._has_failed)]
        outer = [group for group in self._groups.values() if group.name in self._outer]
        effects: list[Effect] = []
        for group in outer or list(self._groups.values()):
            # One may have ended, and taken the last obstacle away, while the one before was asked.
            if not group.is_stopping:
                effects.extend(self._pass_on(group.stop(now), now))
        return effects

    def _pass_on(self, effects: Iterable[Effect], now: float) -> list[Effect]:
        """What a group decided, and what follows from it for the others."""
        passed: list[Effect] = []
        for effect in effects:
            passed.append(effect)
            if isinstance(effect, GroupReady):
                self._vital.discard(effect.group)
            elif isinstance(effect, GroupEnded):
                passed.extend(self._end(effect, now))
        return passed

    def _end(self, ended: GroupEnded, now: float) -> list[Effect]:
        group = self._groups.pop(ended.group)
        for service in group.services:
            del self._group_of[service]
        if ended.problem is not None and ended.group in self._vital:
            self._has_failed = True
            self._is_stopping = True
        self._vital.discard(ended.group)
        self._outer.discard(ended.group)
        return self._go_down(now) if self._is_stopping else []

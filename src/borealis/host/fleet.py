"""The life of clusters on this host: created, started when needed, stopped when idle, deleted. Pure: orders, events and
the time go in, effects come out, in order.

A blank cluster is started ahead of demand, so that creating one is giving it away: it is dedicated from then on and
never comes back. Whoever needs a sleeping cluster waits for it; a cluster that cannot start says why to each who waits,
sleeps again, and is tried anew by the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from borealis.clusters.names import ClusterIdentifier
from borealis.placement import ClusterState

# After a spare was given away its first user has the machine for so long, before the next spare is started.
REFILL_PAUSE_S = 0.5
# Requests that may wait for one cluster.
WAITING_MAX = 20_000

NO_SUCH_CLUSTER = "unknown_cluster"
EXISTS = "exists"
UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Ticket:
    """Who asked, and by which number: what an answer needs to find its way."""

    peer: int
    number: int


@dataclass(frozen=True)
class StartCluster:
    """`is_new`: it has no files yet. A spare is marked as such before anything of it runs."""

    cluster: ClusterIdentifier
    is_new: bool
    is_spare: bool


@dataclass(frozen=True)
class StopCluster:
    cluster: ClusterIdentifier


@dataclass(frozen=True)
class ClaimSpare:
    """It is somebody's: take the mark away. Comes before any answer that names the cluster."""

    cluster: ClusterIdentifier


@dataclass(frozen=True)
class RemoveFiles:
    cluster: ClusterIdentifier


@dataclass(frozen=True)
class MakeSpare:
    """Call `add_spare` with a fresh identifier."""


@dataclass(frozen=True)
class Done:
    """The order was carried out; `cluster` is the one that it was about."""

    ticket: Ticket
    cluster: ClusterIdentifier


@dataclass(frozen=True)
class Refuse:
    ticket: Ticket
    code: str
    text: str


FleetEffect = StartCluster | StopCluster | ClaimSpare | RemoveFiles | MakeSpare | Done | Refuse


@dataclass
class Member:
    cluster: ClusterIdentifier
    state: ClusterState
    is_spare: bool = False
    # It never was awake: nobody has stored anything in it.
    is_new: bool = False
    # Whether a front takes sessions: not while the only one is being started again.
    is_served: bool = False
    has_sessions: bool = False
    idle_since: float = 0.0
    problem: str | None = None
    # Who waits until it is awake, and who until it is asleep or gone.
    waiting: list[Ticket] = field(default_factory=list)
    parting: list[Ticket] = field(default_factory=list)


class Fleet:
    """`sleep_after_s` without a session, a cluster is stopped (None: never). `spares` is how many are kept ready."""

    def __init__(self, *, spares: int, sleep_after_s: float | None) -> None:
        self._spares = spares
        self._sleep_after_s = sleep_after_s
        self._members: dict[ClusterIdentifier, Member] = {}
        self._sleepless: set[ClusterIdentifier] = set()
        self._refill_at: float | None = None

    # What there is

    def add(self, cluster: ClusterIdentifier) -> None:
        """A cluster that has files from before."""
        self._members[cluster] = Member(cluster, ClusterState.ASLEEP)

    def keep_awake(self, cluster: ClusterIdentifier) -> None:
        """It has clients that fronts do not see."""
        self._sleepless.add(cluster)

    def members(self) -> Iterator[Member]:
        """Without spares."""
        return (member for member in self._members.values() if not member.is_spare)

    def spares(self) -> list[Member]:
        """The readiest first."""
        return sorted((m for m in self._members.values() if m.is_spare), key=lambda spare: not spare.is_served)

    def member(self, cluster: ClusterIdentifier) -> Member:
        return self._members[cluster]

    @property
    def deadline(self) -> float | None:
        deadlines = [] if self._refill_at is None else [self._refill_at]
        if self._sleep_after_s is not None:
            deadlines += [m.idle_since + self._sleep_after_s for m in self._members.values() if self._may_sleep(m)]
        return min(deadlines, default=None)

    # Orders

    def create(
        self, ticket: Ticket, wanted: ClusterIdentifier | None, fresh: ClusterIdentifier, now: float
    ) -> list[FleetEffect]:
        """`wanted` may name a spare. `fresh` is the name to use when none is wanted and no spare is there."""
        spare = next(iter(self.spares()), None) if wanted is None else self._members.get(wanted)
        if spare is not None and not spare.is_spare:
            return [Refuse(ticket, EXISTS, f"cluster {wanted} exists")]
        if spare is None:
            member = Member(wanted or fresh, ClusterState.STARTING, is_new=True, waiting=[ticket])
            self._members[member.cluster] = member
            return [StartCluster(member.cluster, is_new=True, is_spare=False)]
        spare.is_spare = False
        spare.idle_since = now
        self._refill_at = now + REFILL_PAUSE_S
        return [ClaimSpare(spare.cluster), *self._answer_when_served(spare, ticket)]

    def start(self, ticket: Ticket, cluster: ClusterIdentifier, now: float) -> list[FleetEffect]:
        member = self._known(cluster)
        if member is None:
            return [Refuse(ticket, NO_SUCH_CLUSTER, f"there is no cluster {cluster}")]
        member.idle_since = now
        if member.state is not ClusterState.ASLEEP:
            return self._answer_when_served(member, ticket)
        member.waiting.append(ticket)
        return self._wake(member)

    def stop(self, ticket: Ticket, cluster: ClusterIdentifier) -> list[FleetEffect]:
        member = self._known(cluster)
        if member is None:
            return [Refuse(ticket, NO_SUCH_CLUSTER, f"there is no cluster {cluster}")]
        if member.state is ClusterState.ASLEEP:
            return [Done(ticket, cluster)]
        member.parting.append(ticket)
        return self._put_to_sleep(member)

    def delete(self, ticket: Ticket, cluster: ClusterIdentifier) -> list[FleetEffect]:
        member = self._known(cluster)
        if member is None:
            return [Done(ticket, cluster)]
        member.parting.append(ticket)
        if member.state is ClusterState.ASLEEP:
            return self._remove(member)
        is_ending = member.state in (ClusterState.STOPPING, ClusterState.DELETING)
        member.state = ClusterState.DELETING
        return [] if is_ending else [StopCluster(cluster)]

    def add_spare(self, cluster: ClusterIdentifier, *, is_new: bool = True) -> list[FleetEffect]:
        self._members[cluster] = Member(cluster, ClusterState.STARTING, is_spare=True, is_new=True)
        return [StartCluster(cluster, is_new=is_new, is_spare=True)]

    # Events

    def begin(self, now: float) -> None:
        """Spares are started once what is needed now has been."""
        self._refill_at = now + REFILL_PAUSE_S

    def ready(self, cluster: ClusterIdentifier, now: float) -> list[FleetEffect]:
        """Everything of the cluster has been started."""
        member = self._members[cluster]
        if member.state is not ClusterState.STARTING:
            return []
        member.state, member.problem, member.idle_since = ClusterState.AWAKE, None, now
        member.is_new = False
        return self._answer_waiting(member)

    def served(self, cluster: ClusterIdentifier, *, is_served: bool) -> list[FleetEffect]:
        """Whether any front of the cluster takes sessions."""
        member = self._members.get(cluster)
        if member is None:
            return []
        member.is_served = is_served
        return self._answer_waiting(member)

    def sessions(self, cluster: ClusterIdentifier, count: int, now: float) -> None:
        """How many sessions the fronts of the cluster hold together."""
        member = self._members.get(cluster)
        if member is not None:
            member.has_sessions, member.idle_since = count > 0, now

    def ended(self, cluster: ClusterIdentifier, problem: str | None, now: float) -> list[FleetEffect]:
        """No process of the cluster runs any more."""
        member = self._members[cluster]
        was_asked, gone_for_good = member.state is ClusterState.STOPPING, member.state is ClusterState.DELETING
        member.state, member.is_served, member.has_sessions = ClusterState.ASLEEP, False, False
        member.problem = problem
        effects: list[FleetEffect] = []
        if gone_for_good or member.is_spare or (member.is_new and problem is not None):
            return self._remove(member)
        effects += [Done(ticket, cluster) for ticket in _take_all(member.parting)]
        if member.waiting and was_asked:
            member.idle_since = now
            return effects + self._wake(member)
        text = problem or f"cluster {cluster} was stopped"
        return effects + [Refuse(ticket, UNAVAILABLE, text) for ticket in _take_all(member.waiting)]

    def tick(self, now: float) -> list[FleetEffect]:
        effects: list[FleetEffect] = []
        if self._sleep_after_s is not None:
            for member in self._members.values():
                if self._may_sleep(member) and now >= member.idle_since + self._sleep_after_s:
                    effects += self._put_to_sleep(member)
        if self._refill_at is not None and now >= self._refill_at:
            self._refill_at = None
            missing = self._spares - sum(member.is_spare for member in self._members.values())
            effects += [MakeSpare()] * max(0, missing)
        return effects

    # What follows

    def _known(self, cluster: ClusterIdentifier) -> Member | None:
        """A spare is nobody's yet, and what is being deleted is gone for everybody but those who wait for its end."""
        member = self._members.get(cluster)
        return None if member is None or member.is_spare else member

    def _may_sleep(self, member: Member) -> bool:
        return (
            member.state is ClusterState.AWAKE
            and not (member.is_spare or member.has_sessions)
            and member.cluster not in self._sleepless
        )

    def _answer_when_served(self, member: Member, ticket: Ticket) -> list[FleetEffect]:
        if member.state is ClusterState.DELETING:
            return [Refuse(ticket, NO_SUCH_CLUSTER, f"cluster {member.cluster} is being deleted")]
        if len(member.waiting) >= WAITING_MAX:
            return [Refuse(ticket, UNAVAILABLE, f"too many wait for cluster {member.cluster}")]
        member.waiting.append(ticket)
        return self._answer_waiting(member)

    def _answer_waiting(self, member: Member) -> list[FleetEffect]:
        if member.state is not ClusterState.AWAKE or not member.is_served:
            return []
        return [Done(ticket, member.cluster) for ticket in _take_all(member.waiting)]

    def _wake(self, member: Member) -> list[FleetEffect]:
        member.state = ClusterState.STARTING
        return [StartCluster(member.cluster, is_new=False, is_spare=False)]

    def _put_to_sleep(self, member: Member) -> list[FleetEffect]:
        if member.state in (ClusterState.STOPPING, ClusterState.DELETING):
            return []
        member.state = ClusterState.STOPPING
        return [StopCluster(member.cluster)]

    def _remove(self, member: Member) -> list[FleetEffect]:
        del self._members[member.cluster]
        self._sleepless.discard(member.cluster)
        code, text = (UNAVAILABLE, member.problem) if member.problem else (NO_SUCH_CLUSTER, "the cluster is gone")
        return [
            RemoveFiles(member.cluster),
            *(Done(ticket, member.cluster) for ticket in _take_all(member.parting)),
            *(Refuse(ticket, code, text) for ticket in _take_all(member.waiting)),
        ]


def _take_all(tickets: list[Ticket]) -> list[Ticket]:
    taken = tickets[:]
    tickets.clear()
    return taken

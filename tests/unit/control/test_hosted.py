"""What the host knows of clusters, with a host that is a list."""

import asyncio
from dataclasses import dataclass, field, replace

from borealis.clusters.cluster import Cluster, ClusterStatus
from borealis.clusters.life_cycle import IDLE_AFTER_NS
from borealis.control.hosted import HostedClusters
from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.placement import ClusterState
from borealis.placement.host_client import HostedCluster
from tests.unit.clusters.test_store import cluster

ONE = replace(cluster("a"), status=ClusterStatus.ACTIVE)
AWAKE = HostedCluster(ONE.identifier, ClusterState.AWAKE, (), 0, None)


@dataclass
class ListHost:
    clusters: list[HostedCluster] = field(default_factory=list)
    is_away: bool = False
    asked: int = 0

    async def ahead(self) -> list[str]:
        if self.is_away:
            raise Unavailable("away")
        return ["b" * 26]

    async def list(self) -> list[HostedCluster]:
        self.asked += 1
        if self.is_away:
            raise Unavailable("away")
        return self.clusters


@dataclass
class StandingClock:
    time: int = 10**18

    def now(self) -> Timestamp:
        return Timestamp(self.time)

    def pass_ns(self, nanoseconds: int) -> None:
        self.time += nanoseconds


def shown(hosted: HostedClusters, one: Cluster = ONE) -> ClusterStatus:
    return asyncio.run(hosted.show_status(one))


def test_a_cluster_is_active_then_idle_then_asleep_then_active() -> None:
    host, clock = ListHost([replace(AWAKE, sessions=1)]), StandingClock()
    hosted = HostedClusters(host, clock)
    assert shown(hosted) is ClusterStatus.ACTIVE
    host.clusters = [AWAKE]
    clock.pass_ns(IDLE_AFTER_NS - 1)
    assert shown(hosted) is ClusterStatus.ACTIVE
    clock.pass_ns(NANOSECONDS_PER_SECOND)
    assert shown(hosted) is ClusterStatus.IDLE
    host.clusters = [replace(AWAKE, state=ClusterState.ASLEEP)]
    clock.pass_ns(NANOSECONDS_PER_SECOND)
    assert shown(hosted) is ClusterStatus.INACTIVE
    host.clusters = [AWAKE]
    clock.pass_ns(NANOSECONDS_PER_SECOND)
    assert shown(hosted) is ClusterStatus.ACTIVE


def test_the_host_is_asked_once_a_second_and_at_once_for_what_is_new() -> None:
    host, clock = ListHost([AWAKE]), StandingClock()
    hosted = HostedClusters(host, clock)
    assert [shown(hosted) for _ in range(3)] == [ClusterStatus.ACTIVE] * 3
    assert host.asked == 1
    new = replace(ONE, identifier=cluster("c").identifier)
    host.clusters.append(replace(AWAKE, cluster=new.identifier))
    assert shown(hosted, new) is ClusterStatus.ACTIVE
    assert host.asked == 2


def test_an_answer_is_shared_by_those_who_asked_before_the_question_was_put() -> None:
    new = replace(ONE, identifier=cluster("c").identifier)
    gate = asyncio.Event()

    class SlowHost(ListHost):
        async def list(self) -> list[HostedCluster]:
            clusters = list(self.clusters)
            self.asked += 1
            await gate.wait()
            return clusters

    async def ask_at_once() -> tuple[ListHost, list[ClusterStatus]]:
        host = SlowHost([AWAKE])
        hosted = HostedClusters(host, StandingClock())
        first = asyncio.create_task(hosted.show_status(ONE))
        await asyncio.sleep(0)
        host.clusters.append(replace(AWAKE, cluster=new.identifier))
        others = [asyncio.create_task(hosted.show_status(new)) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
        return host, [await task for task in (first, *others)]

    host, statuses = asyncio.run(ask_at_once())
    assert statuses == [ClusterStatus.ACTIVE] * 6
    assert host.asked == 2


def test_what_the_host_does_not_have_is_failed() -> None:
    assert shown(HostedClusters(ListHost(), StandingClock())) is ClusterStatus.FAILED


def test_a_busy_host_is_not_waited_for() -> None:
    class BusyHost(ListHost):
        async def ahead(self) -> list[str]:
            await asyncio.Event().wait()
            return []

    assert asyncio.run(HostedClusters(BusyHost(), StandingClock()).names_ahead()) == []


def test_without_the_host_the_stored_status_is_shown() -> None:
    host = ListHost([AWAKE], is_away=True)
    hosted = HostedClusters(host, StandingClock())
    assert shown(hosted) is ClusterStatus.ACTIVE
    assert asyncio.run(hosted.names_ahead()) == []
    assert shown(hosted, replace(ONE, status=ClusterStatus.DELETING)) is ClusterStatus.DELETING

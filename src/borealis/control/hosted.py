"""What the host knows of the clusters, asked when somebody wants to know, at most once a second."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from borealis.clusters.cluster import Cluster, ClusterStatus
from borealis.clusters.life_cycle import shown_status
from borealis.foundation.clock import Clock
from borealis.foundation.errors import BorealisError
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, NO_TIMESTAMP, Timestamp
from borealis.placement import ClusterState
from borealis.placement.host_client import HostedCluster

_log = logging.getLogger("hosted")
_FRESH_NS: Final = NANOSECONDS_PER_SECOND
_AHEAD_S: Final = 0.5
_LIST_S: Final = 2.0
_AWAKE: Final = frozenset({ClusterState.AWAKE, ClusterState.STARTING})


class HostQuestions(Protocol):
    async def ahead(self) -> list[str]: ...

    async def list(self) -> Sequence[HostedCluster]: ...


class HostedClusters:
    """Answers with what is stored when the host cannot be reached: a look must not fail because of that."""

    def __init__(self, host: HostQuestions, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._asked = NO_TIMESTAMP
        # Numbers of the last question that was put and of the last that was answered.
        self._question = self._answered = 0
        self._asking = asyncio.Lock()
        self._hosted: dict[str, HostedCluster] = {}
        # When each was last seen with a session, or first seen awake.
        self._last_used: dict[str, Timestamp] = {}

    async def names_ahead(self) -> list[str]:
        """Of clusters that were started ahead. A host that is busy is not waited for: without a name from it a cluster
        takes longer to become active, and its creation is answered all the same."""
        try:
            async with asyncio.timeout(_AHEAD_S):
                return await self._host.ahead()
        except TimeoutError:
            _log.info("a cluster is made without one that was started ahead: the host is busy")
            return []
        except BorealisError as error:
            _log.warning("a cluster is made without one that was started ahead: %s", error)
            return []

    async def show_status(self, cluster: Cluster) -> ClusterStatus:
        if cluster.status is not ClusterStatus.ACTIVE:
            return cluster.status
        is_known = cluster.identifier in self._hosted
        # What was asked for before the cluster was made does not know it.
        if (not is_known or not self._is_fresh()) and not await self._ask():
            return cluster.status
        hosted = self._hosted.get(cluster.identifier)
        if hosted is None:
            _log.error("the host has no cluster %s: its files are gone", cluster.identifier)
            return ClusterStatus.FAILED
        last_used = self._last_used.get(cluster.identifier, NO_TIMESTAMP)
        return shown_status(cluster.status, hosted.state in _AWAKE, last_used, self._clock.now())

    def _is_fresh(self) -> bool:
        return self._clock.now() - self._asked < _FRESH_NS

    async def _ask(self) -> bool:
        """Whether there is an answer now, to a question that was put after this call. Those who wait share it."""
        put_before = self._question
        async with self._asking:
            return self._answered > put_before or await self._ask_host()

    async def _ask_host(self) -> bool:
        self._question += 1
        try:
            async with asyncio.timeout(_LIST_S):
                hosted = await self._host.list()
        except (BorealisError, TimeoutError) as error:
            _log.warning("statuses are shown as they are stored: %s", error or "the host is busy")
            return False
        self._answered = self._question
        self._asked = now = self._clock.now()
        before, self._hosted = self._hosted, {one.cluster: one for one in hosted}
        self._last_used = {
            name: now
            if one.sessions or name not in before or before[name].state not in _AWAKE
            else self._last_used.get(name, now)
            for name, one in self._hosted.items()
            if one.state in _AWAKE
        }
        return True

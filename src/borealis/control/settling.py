"""Carries out what the stored status of a cluster asks for: CREATING, UPDATING, DELETING.

The metadata says what is wanted, the host makes it so, and only then the status moves on. Every step may be interrupted
and repeated: after a crash the same status asks for the same step, and the host takes an order that it has carried out
for one that is done. A cluster has one task at a time, so that its steps follow each other.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from typing import Final, Protocol

from borealis.clusters.cluster import Cluster, ClusterStatus
from borealis.clusters.names import ClusterIdentifier
from borealis.clusters.store import ClusterStore
from borealis.foundation.errors import BorealisError, InvariantViolation
from borealis.placement.host_client import HostedCluster

_log = logging.getLogger("settling")

# How often a host that answers may fail to start a new cluster before it is given up.
CREATE_ATTEMPTS_MAX: Final = 6
_ORDERS_MAX: Final = 8
_PAUSE_S_MIN: Final = 0.1
_PAUSE_S_MAX: Final = 5.0


class HostOrders(Protocol):
    """Each raises BorealisError when the order could not be carried out, or when that is not known."""

    async def create(self, cluster: str | None = None) -> str: ...

    async def start(self, cluster: str) -> object: ...

    async def delete(self, cluster: str) -> None: ...

    async def list(self) -> Sequence[HostedCluster]: ...


class CreationRefused(BorealisError):  # noqa: N818 - it says what happened
    """The host works, and did not make the cluster."""


class Settling:
    def __init__(self, store: ClusterStore, host: HostOrders) -> None:
        self._store = store
        self._host = host
        self._tasks: dict[ClusterIdentifier, asyncio.Task[None]] = {}
        self._orders = asyncio.Semaphore(_ORDERS_MAX)

    def settle(self, identifier: ClusterIdentifier) -> None:
        """Sees to it, now and until it is done. A task that runs already looks again before it ends."""
        if identifier not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._settle(identifier))
            self._tasks[identifier] = task
            task.add_done_callback(lambda ended: self._end(identifier, ended))

    def settle_all(self) -> None:
        """What an earlier process left."""
        for cluster in self._store.unsettled():
            _log.info("cluster %s was left %s", cluster.identifier, cluster.status)
            self.settle(cluster.identifier)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, identifier: ClusterIdentifier, task: asyncio.Task[None]) -> None:
        del self._tasks[identifier]
        if not task.cancelled():
            task.result()  # what cannot be is for the event loop's handler of exceptions

    async def _settle(self, identifier: ClusterIdentifier) -> None:
        failures = refusals = 0
        # No await between the last look and the end of the task: what is asked for afterwards starts another.
        while (cluster := self._store.get(identifier)) is not None and is_unsettled(cluster):
            try:
                async with self._orders:
                    await self._step(cluster)
                failures = refusals = 0
                continue
            except InvariantViolation:
                raise
            except CreationRefused as error:
                refusals += 1
                _log.error("cluster %s could not be made: %s", identifier, error)
                if refusals >= CREATE_ATTEMPTS_MAX:
                    self._move(cluster, ClusterStatus.FAILED, str(error))
            except (BorealisError, sqlite3.Error) as error:
                _log.warning("cluster %s stays %s: %s", identifier, cluster.status, error)
            failures += 1
            await asyncio.sleep(pause_s(failures))

    async def _step(self, cluster: Cluster) -> None:
        match cluster.status:
            case ClusterStatus.CREATING:
                await self._create(cluster.identifier)
                self._move(cluster, ClusterStatus.ACTIVE)
            case ClusterStatus.UPDATING:
                self._move(cluster, ClusterStatus.ACTIVE)
            case ClusterStatus.DELETING:
                await self._host.delete(cluster.identifier)
                with self._store.transaction():
                    self._store.remove(cluster.identifier)

    async def _create(self, identifier: ClusterIdentifier) -> None:
        """The host may have made it for a process before us, which died before it wrote that down."""
        try:
            await self._host.create(identifier)
        except BorealisError as error:
            if all(hosted.cluster != identifier for hosted in await self._host.list()):
                raise CreationRefused(str(error)) from error
            await self._host.start(identifier)

    def _move(self, cluster: Cluster, status: ClusterStatus, reason: str | None = None) -> None:
        """Unless something else was asked for while the step was on its way."""
        with self._store.transaction():
            found = self._store.get(cluster.identifier)
            if found is not None and found.status is cluster.status:
                self._store.set_status(cluster.identifier, status, reason)


def is_unsettled(cluster: Cluster) -> bool:
    return cluster.status in (ClusterStatus.CREATING, ClusterStatus.UPDATING, ClusterStatus.DELETING)


def pause_s(failures: int) -> float:
    """Before the next attempt, after so many in a row."""
    return min(_PAUSE_S_MAX, _PAUSE_S_MIN * 2.0 ** min(failures - 1, 10))

"""`Placement`: the relay's question, answered from memory as long as the cluster is awake."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from borealis.foundation.errors import Malformed, Unavailable
from borealis.placement.connection import RECONNECT_S, HostConnection
from borealis.placement.messages import Fields, decode_fronts
from borealis.placement.table import FrontAddress, FrontId, PlacementTable

logger = logging.getLogger(__name__)


class Placement:
    """Use within one event loop, as an asynchronous context manager."""

    def __init__(self, host_socket: Path) -> None:
        self._table = PlacementTable()
        self._lost = asyncio.Event()
        self._connection = HostConnection(host_socket, self._take_event, self._lose)
        self._watching: asyncio.Task[None] | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def __aenter__(self) -> "Placement":
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._connection.close()

    def find(self, cluster: str) -> FrontAddress | None:
        """The front for the next session of the cluster; None when it must be woken, or is not there yet."""
        return self._table.choose(cluster)

    async def start(self, cluster: str) -> FrontAddress:
        """The same, from the host, which wakes the cluster: for who found none, or one that takes no sessions any more.

        Raises UnknownCluster, and Unavailable when the cluster cannot be started or the host is out of reach."""
        answer = await self._connection.ask("start", cluster)
        fronts = decode_fronts(cluster, answer.get("fronts"))
        if not fronts:
            raise Unavailable(f"cluster {cluster} has no front")
        if self._watching is not None:
            self._replace(cluster, fronts)
        return self._table.choose(cluster) or fronts[0]

    async def wait_for(self, cluster: str) -> FrontAddress:
        """The same, once the host tells of one by itself: for a cluster that somebody is making. Never gives up."""
        while (chosen := self._table.choose(cluster)) is None:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(cluster, set())
            waiting.add(told)
            try:
                await told
            finally:
                waiting.discard(told)
                if not waiting:
                    self._waiting.pop(cluster, None)
        return chosen

    def front(self, front_id: FrontId) -> FrontAddress | None:
        """Where the sessions of a front are, to route a cancel request; None when no such front runs."""
        return self._table.front(front_id)

    async def _watch(self) -> None:
        """The host tells of every cluster that is awake, and from then on of each change."""
        while True:
            self._lost.clear()
            try:
                await self._connection.ask("watch")
            except Unavailable as error:
                logger.warning("%s", error)
                await asyncio.sleep(RECONNECT_S)
            else:
                await self._lost.wait()

    def _take_event(self, fields: Fields) -> None:
        cluster = fields.get("cluster")
        if not isinstance(cluster, str):
            raise Malformed("an event names no cluster")
        self._replace(cluster, decode_fronts(cluster, fields.get("fronts")))

    def _replace(self, cluster: str, fronts: Sequence[FrontAddress]) -> None:
        self._table.replace(cluster, fronts)
        for told in self._waiting.get(cluster, ()) if fronts else ():
            if not told.done():
                told.set_result(None)

    def _lose(self) -> None:
        self._table.forget()
        self._lost.set()

"""Finds the front for a session; holds the session while its cluster is being made or woken.

Promises: what is held is bounded in number and in time, whatever the host does; a cluster that is awake costs no wait.
"""

import asyncio
from typing import NamedTuple

from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.placement import FrontAddress, UnknownCluster
from borealis.placement.placement import Placement
from borealis.relay.dialogue import Grant


class HoldLimits(NamedTuple):
    sessions_max: int = 4_096
    """Some 20 kB and a file descriptor each."""
    ns_max: int = 50 * NANOSECONDS_PER_SECOND
    """For one session, from the token on."""


class NotReady(Unavailable):
    """The cluster may be in a while; who asked has waited long enough, or too many wait."""


class Holding:
    def __init__(self, placement: Placement, limits: HoldLimits) -> None:
        self._placement = placement
        self._limits = limits
        self._count = 0

    def deadline(self) -> float:
        """For a session that begins to look now; of the event loop's clock."""
        return asyncio.get_running_loop().time() + self._limits.ns_max / NANOSECONDS_PER_SECOND

    async def find(self, grant: Grant, deadline: float, *, is_anew: bool) -> FrontAddress:
        """`is_anew`: the front that was found before takes no sessions. Raises UnknownCluster, NotReady, or Unavailable
        with the reason why the cluster cannot be started."""
        chosen = None if is_anew else self._placement.find(grant.cluster)
        if chosen is not None:
            return chosen
        if self._count >= self._limits.sessions_max:
            raise NotReady("too many sessions wait for clusters that are not ready")
        self._count += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await self._wait(grant)
        except TimeoutError:
            raise NotReady(f"cluster {grant.cluster} is not ready in time") from None
        finally:
            self._count -= 1

    async def _wait(self, grant: Grant) -> FrontAddress:
        try:
            return await self._placement.start(grant.cluster)
        except UnknownCluster:
            if not grant.is_coming:
                raise
        return await self._placement.wait_for(grant.cluster)

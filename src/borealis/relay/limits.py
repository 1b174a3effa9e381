"""How many connections a cluster may open in a while, and what counts as one client address. Pure; bounded memory."""

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple, TypeAlias

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp

Address: TypeAlias = IPv4Address | IPv6Address

_BUCKETS_MAX: Final = 10_000
_IPV6_NETWORK_BITS: Final = 64


class RateLimit(NamedTuple):
    """Connections per second, and how many may come at once after a quiet time."""

    per_second: int = 1_000
    burst: int = 10_000


class ConnectionRates:
    """A token bucket for each cluster."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._token_ns = NANOSECONDS_PER_SECOND // limit.per_second
        self._full_ns = self._token_ns * limit.burst
        # When each bucket will be full again. One that is full need not be kept: least recently used go first, and
        # with them at worst a refusal.
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def take(self, cluster: str, now: Timestamp) -> bool:
        """One connection more; False if it comes too soon."""
        full_at = max(self._full_at.get(cluster, 0), now) + self._token_ns
        if full_at - now > self._full_ns:
            # A clock that stepped back must not lock a cluster out for longer than an empty bucket takes to fill.
            self._full_at[cluster] = min(full_at - self._token_ns, now + self._full_ns)
            return False
        self._full_at[cluster] = full_at
        self._full_at.move_to_end(cluster)
        if len(self._full_at) > _BUCKETS_MAX:
            self._full_at.popitem(last=False)
        return True


def network_of(address: Address) -> bytes:
    """What connections are counted by."""
    return address.packed if isinstance(address, IPv4Address) else address.packed[: _IPV6_NETWORK_BITS // 8]

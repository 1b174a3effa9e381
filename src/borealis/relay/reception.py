"""Connections that are nobody's yet: how many there may be, and for how long. Pure bookkeeping over a caller's clock.

`Reception` is generic in what it keeps. Promises: a connection is in it from `enter` to `leave`, in one of three stages
(silent, talking, leaving), each with its time; whoever asks `due` gets those whose time is over, oldest first. To keep
to the limits of `is_full` and `is_full_of` is up to the caller. Times are nanoseconds of a clock that never steps back.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND

Guest = TypeVar("Guest")


class ReceptionLimits(NamedTuple):
    total_max: int = 8_192
    per_network_max: int = 4_096
    """From one IPv4 address or one /64 of IPv6, which is what one host has."""
    silent_ns_max: int = 10 * NANOSECONDS_PER_SECOND
    """From accept to the first byte."""
    dialogue_ns_max: int = 60 * NANOSECONDS_PER_SECOND
    """From accept to the token, as PostgreSQL's authentication_timeout."""
    leaving_ns_max: int = 2 * NANOSECONDS_PER_SECOND
    """From the last word to the end of the connection, so that the client gets to read it."""
    grace_ns: int = 2 * NANOSECONDS_PER_SECOND
    """When there is no room, connections older than this make way, the oldest first."""


class Reception(Generic[Guest]):
    def __init__(self, limits: ReceptionLimits) -> None:
        self._limits = limits
        self._arrived: OrderedDict[Guest, int] = OrderedDict()
        self._silent: OrderedDict[Guest, int] = OrderedDict()
        self._leaving: OrderedDict[Guest, int] = OrderedDict()
        self._network: dict[Guest, bytes] = {}
        self._of_network: dict[bytes, OrderedDict[Guest, int]] = {}

    def __len__(self) -> int:
        return len(self._arrived)

    def __iter__(self) -> Iterator[Guest]:
        return iter(list(self._arrived))

    @property
    def is_full(self) -> bool:
        return len(self._arrived) >= self._limits.total_max

    def is_full_of(self, network: bytes) -> bool:
        return len(self._of_network.get(network, ())) >= self._limits.per_network_max

    def to_make_way(self, now_ns: int, network: bytes | None = None) -> Guest | None:
        """The oldest, of the network if one is given, if it has had its grace. None: nobody has to go."""
        guests = self._arrived if network is None else self._of_network.get(network)
        for guest, arrived_ns in guests.items() if guests else ():
            return guest if now_ns - arrived_ns >= self._limits.grace_ns else None
        return None

    def enter(self, guest: Guest, network: bytes, now_ns: int) -> None:
        self._network[guest] = network
        self._of_network.setdefault(network, OrderedDict())[guest] = now_ns
        self._arrived[guest] = self._silent[guest] = now_ns

    def note_first_byte(self, guest: Guest) -> None:
        self._silent.pop(guest, None)

    def note_last_word(self, guest: Guest, now_ns: int) -> None:
        if guest in self._arrived:
            self._leaving.setdefault(guest, now_ns)

    def leave(self, guest: Guest) -> None:
        """Also for one that has left already."""
        if self._arrived.pop(guest, None) is None:
            return
        self._silent.pop(guest, None)
        self._leaving.pop(guest, None)
        network = self._network.pop(guest)
        of_network = self._of_network[network]
        del of_network[guest]
        if not of_network:
            del self._of_network[network]

    def due(self, now_ns: int) -> list[Guest]:
        """Those whose time is over; they have to leave."""
        limits = self._limits
        due: dict[Guest, None] = {}
        for stage, ns_max in (
            (self._arrived, limits.dialogue_ns_max),
            (self._silent, limits.silent_ns_max),
            (self._leaving, limits.leaving_ns_max),
        ):
            for guest, since_ns in stage.items():
                if now_ns - since_ns < ns_max:
                    break
                due[guest] = None
        return list(due)

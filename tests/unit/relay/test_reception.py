from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from borealis.relay.reception import Reception, ReceptionLimits

LIMITS = ReceptionLimits(
    total_max=6, per_network_max=3, silent_ns_max=10, dialogue_ns_max=60, leaving_ns_max=5, grace_ns=4
)
NETWORKS = st.sampled_from([b"one", b"two"])


class Naive:
    def __init__(self, network: bytes, now: int) -> None:
        self.network = network
        self.arrived = now
        self.is_silent = True
        self.last_word: int | None = None

    def is_due(self, now: int) -> bool:
        return (
            now - self.arrived >= LIMITS.dialogue_ns_max
            or (self.is_silent and now - self.arrived >= LIMITS.silent_ns_max)
            or (self.last_word is not None and now - self.last_word >= LIMITS.leaving_ns_max)
        )


class ReceptionComparison(RuleBasedStateMachine):
    """Against a list that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.reception: Reception[int] = Reception(LIMITS)
        self.naive: dict[int, Naive] = {}
        self.now = 0
        self.numbers = 0

    @rule(passed=st.integers(0, 12))
    def time_passes(self, passed: int) -> None:
        self.now += passed

    @precondition(lambda self: len(self.naive) <= LIMITS.total_max)
    @rule(network=NETWORKS)
    def enter(self, network: bytes) -> None:
        self.numbers += 1
        self.reception.enter(self.numbers, network, self.now)
        self.naive[self.numbers] = Naive(network, self.now)

    @rule(choice=st.integers(0, 5))
    def first_byte(self, choice: int) -> None:
        for guest in list(self.naive)[choice : choice + 1]:
            self.reception.note_first_byte(guest)
            self.naive[guest].is_silent = False

    @rule(choice=st.integers(0, 5))
    def last_word(self, choice: int) -> None:
        for guest in list(self.naive)[choice : choice + 1]:
            self.reception.note_last_word(guest, self.now)
            if self.naive[guest].last_word is None:
                self.naive[guest].last_word = self.now

    @rule(choice=st.integers(0, 5))
    def leave(self, choice: int) -> None:
        for guest in list(self.naive)[choice : choice + 1]:
            self.reception.leave(guest)
            self.reception.leave(guest)
            del self.naive[guest]

    @rule()
    def those_who_are_late_leave(self) -> None:
        for guest in self.reception.due(self.now):
            self.reception.leave(guest)
            del self.naive[guest]

    @invariant()
    def agree(self) -> None:
        assert list(self.reception) == list(self.naive)
        assert self.reception.is_full == (len(self.naive) >= LIMITS.total_max)
        assert sorted(self.reception.due(self.now)) == [
            guest for guest, naive in self.naive.items() if naive.is_due(self.now)
        ]
        assert self.reception.to_make_way(self.now) == self.find_oldest(list(self.naive))
        for network in (b"one", b"two", b"nobody's"):
            of_it = [guest for guest, naive in self.naive.items() if naive.network == network]
            assert self.reception.is_full_of(network) == (len(of_it) >= LIMITS.per_network_max)
            assert self.reception.to_make_way(self.now, network) == self.find_oldest(of_it)

    def find_oldest(self, guests: list[int]) -> int | None:
        """If it has had its grace."""
        return next((guest for guest in guests[:1] if self.now - self.naive[guest].arrived >= LIMITS.grace_ns), None)


TestReception = ReceptionComparison.TestCase

"""The policy of the pool, with connections that exist on paper only and a clock that the test turns."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from borealis.front.pool import Pool
from borealis.front.settings import MILLISECOND_NS, FrontSettings

SETTINGS = replace(FrontSettings(), backends_target=2, backends_max=4, backends_kept=1)


class PaperBackend:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: object = None


class House:
    """Opens connections when told to, and remembers who is served by what."""

    def __init__(self, settings: FrontSettings = SETTINGS) -> None:
        self.settings = settings
        self.now_ns = 0
        self.opening: list[str] = []
        self.closed: list[PaperBackend] = []
        self.serving: dict[str, PaperBackend] = {}
        self.served: list[str] = []
        self.pool: Pool[str, PaperBackend, str] = Pool(settings, self.opening.append, self.closed.append, self._serve)

    def _serve(self, customer: str, backend: PaperBackend) -> None:
        assert customer not in self.serving
        assert backend not in self.serving.values()
        assert backend not in self.closed
        self.serving[customer] = backend
        self.served.append(customer)

    def want(self, customer: str, kind: str = "k", state: object = None) -> bool:
        return self.pool.want(customer, kind, state, self.now_ns)

    def open_all(self) -> None:
        while self.opening:
            kind = self.opening.pop(0)
            self.pool.opened(PaperBackend(kind), kind, self.now_ns)

    def give_back(self, customer: str) -> None:
        backend = self.serving.pop(customer)
        self.pool.give_back(backend, backend.kind, self.now_ns)

    def later(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        self.pool.tick(self.now_ns)


def test_a_free_backend_is_used_again() -> None:
    house = House()
    assert not house.want("a")
    house.open_all()
    house.give_back("a")
    assert house.want("b")
    assert house.opening == []


def test_nothing_is_opened_that_nobody_waits_for() -> None:
    house = House()
    house.want("a")
    house.want("b")
    house.want("c")
    assert house.opening == ["k", "k"]  # up to the target
    house.open_all()
    assert set(house.serving) == {"a", "b"}
    house.give_back("a")
    assert "c" in house.serving


def test_above_the_target_only_for_the_patient() -> None:
    house = House()
    for customer in "abcd":
        house.want(customer)
    house.open_all()
    assert house.pool.backends == 2
    house.later(house.settings.patience_ns)
    assert house.opening == ["k"]
    house.open_all()
    assert house.served == ["a", "b", "c"]


def test_first_come_first_served() -> None:
    house = House(replace(SETTINGS, backends_target=1, backends_max=1))
    for customer in "abcd":
        house.want(customer)
    house.open_all()
    for customer in "abcd":
        house.give_back(customer)
    assert house.served == list("abcd")


def test_the_backend_with_the_right_state_is_preferred() -> None:
    house = House()
    mine, other = object(), object()
    house.want("a")
    house.want("b")
    house.open_all()
    house.serving["a"].state, house.serving["b"].state = mine, other
    backend = house.serving["a"]
    house.give_back("a")
    house.give_back("b")
    house.want("c", state=mine)
    assert house.serving["c"] is backend


def test_a_stranger_gets_the_backend_that_was_used_longest_ago() -> None:
    house = House()
    house.want("a")
    house.want("b")
    house.open_all()
    oldest = house.serving["b"]
    house.give_back("b")
    house.give_back("a")
    house.want("c", state=object())
    assert house.serving["c"] is oldest


def test_an_idle_backend_of_another_kind_makes_room() -> None:
    house = House(replace(SETTINGS, backends_target=1, backends_max=1))
    house.want("a", "one")
    house.open_all()
    backend = house.serving["a"]
    house.give_back("a")
    house.want("b", "two")
    assert house.closed == [backend]
    house.open_all()
    assert house.serving["b"].kind == "two"
    assert house.pool.backends == 1


def test_it_makes_room_for_the_patient_too() -> None:
    house = House(replace(SETTINGS, backends_target=1, backends_max=2))
    house.want("a", "one")
    house.want("b", "two")
    house.open_all()
    idle = house.serving["a"]
    house.give_back("a")
    house.want("c", "two")
    due = house.pool.tick(house.now_ns)
    assert due == house.settings.patience_ns
    house.later(house.settings.patience_ns)
    assert house.closed == [idle]
    house.open_all()
    assert "c" in house.serving


def test_a_kind_that_never_rests_does_not_starve_others() -> None:
    house = House(replace(SETTINGS, backends_target=2, backends_max=2))
    for number in range(20):
        house.want(f"busy {number}", "busy")
    house.open_all()
    house.want("poor", "poor")
    house.later(house.settings.patience_ns)
    house.give_back("busy 0")
    house.open_all()
    assert "poor" in house.serving


def test_idle_backends_are_closed_but_one() -> None:
    house = House()
    house.want("a")
    house.want("b")
    house.open_all()
    house.give_back("a")
    house.give_back("b")
    house.later(house.settings.backend_idle_ns)
    assert len(house.closed) == 1
    assert house.pool.backends == 1


def test_who_waited_for_what_cannot_be_opened_is_told() -> None:
    house = House()
    house.want("a")
    house.want("b")
    house.opening.clear()
    assert house.pool.failed("k") == []  # another one is under way
    assert house.pool.failed("k") == ["a", "b"]
    assert house.pool.backends == 0
    assert not house.pool.has_waiting


def test_a_lost_backend_is_replaced_for_those_who_wait() -> None:
    house = House(replace(SETTINGS, backends_target=1))
    house.want("a")
    house.open_all()
    house.want("b")
    backend = house.serving.pop("a")
    house.pool.lost(backend, "k", house.now_ns)
    house.open_all()
    assert "b" in house.serving


@given(st.integers(0, 2**32))
def test_everybody_is_served_in_the_end(seed: int) -> None:
    """Random comings and goings of three kinds: nobody is forgotten, no bound is broken."""
    dice, house, waiting = random.Random(seed), House(), 0
    for number in range(60):
        house.later(dice.randrange(5 * MILLISECOND_NS))
        choice = dice.random()
        if choice < 0.5:
            house.want(f"{number}", dice.choice("xyz"), dice.choice((None, house)))
            waiting += 1
        elif choice < 0.8 and house.serving:
            house.give_back(dice.choice(list(house.serving)))
        elif choice < 0.9 and house.opening:
            kind = house.opening.pop(0)
            house.pool.opened(PaperBackend(kind), kind, house.now_ns)
        elif house.serving:
            backend = house.serving.pop(dice.choice(list(house.serving)))
            house.pool.lost(backend, backend.kind, house.now_ns)
        assert house.pool.backends <= SETTINGS.backends_max
    for _ in range(200):
        house.open_all()
        for customer in list(house.serving):
            house.give_back(customer)
        house.later(house.settings.patience_ns)
    assert len(house.served) == waiting
    assert not house.pool.has_waiting

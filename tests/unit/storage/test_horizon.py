"""The horizon never passes a reader that follows the protocol, and nobody can hold it back for ever."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.identifiers import Timestamp
from borealis.storage.horizon import HorizonTracker, ReaderSlot

LAG = 10
AGE_MAX = 1_000
READERS = 3


@dataclass
class Reader:
    """A backend: take a timestamp, store it in the slot, look at the horizon again, read, go."""

    phase: str = "idle"
    timestamp: int = 0
    slot: int = 0
    taken_at: int = 0

    def step(self, world: "World") -> None:
        if self.phase == "idle":
            self.timestamp, self.taken_at, self.phase = world.acknowledged, world.now, "taken"
        elif self.phase == "taken":
            self.slot, self.phase = self.timestamp, "stored"
        elif self.phase == "stored":
            if world.tracker.published > self.timestamp:
                self.timestamp, self.taken_at, self.phase = world.acknowledged, world.now, "taken"
            else:
                self.phase = "reading"
        else:
            self.slot, self.phase = 0, "idle"


@dataclass
class World:
    now: int = 0
    acknowledged: int = 100
    applied: int = 100
    collected: int = 0
    readers: list[Reader] = field(default_factory=lambda: [Reader() for _ in range(READERS)])
    tracker: HorizonTracker = field(default_factory=lambda: HorizonTracker(Timestamp(0), LAG, AGE_MAX))

    def round(self) -> None:
        slots = [
            ReaderSlot("instance-0", index, 1, Timestamp(reader.slot), True)
            for index, reader in enumerate(self.readers)
            if reader.slot
        ]
        decision = self.tracker.decide(self.now, Timestamp(self.applied), Timestamp(self.acknowledged), slots)
        assert decision.collect <= decision.publish
        self.collected = max(self.collected, decision.collect)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("reader"), st.integers(0, READERS - 1)),
        st.tuples(st.just("acknowledge"), st.integers(1, 5)),
        st.tuples(st.just("apply"), st.integers(1, 5)),
        st.tuples(st.just("tick"), st.integers(1, 4)),
        st.tuples(st.just("round"), st.just(0)),
    ),
    max_size=150,
)


@given(actions)
def test_registered_readers_are_never_disturbed(steps: list[tuple[str, int]]) -> None:
    """As long as it takes a backend less than the lag from taking its timestamp to looking at the horizon again."""
    world = World()
    for action, number in steps:
        if action == "reader":
            world.readers[number].step(world)
        elif action == "acknowledge":
            world.acknowledged += number
        elif action == "apply":
            world.applied += number
        elif action == "tick":
            slowest = min((r.taken_at for r in world.readers if r.phase in ("taken", "stored")), default=world.now)
            world.now = min(world.now + number, slowest + LAG - 1)
        else:
            world.round()
        for reader in world.readers:
            if reader.phase == "reading":
                assert world.tracker.published <= reader.timestamp
                assert world.collected <= reader.timestamp


@given(actions)
def test_nothing_is_collected_before_it_is_published(steps: list[tuple[str, int]]) -> None:
    """However slow a backend is: one that looks at the horizon after it has read knows whether it read the truth."""
    world = World()
    for action, number in steps:
        published = world.tracker.published
        if action == "reader":
            world.readers[number].step(world)
        elif action == "acknowledge":
            world.acknowledged += number
        elif action == "apply":
            world.applied += number
        elif action == "tick":
            world.now += number * LAG
        else:
            world.round()
            assert world.collected <= published
        assert world.tracker.published >= published
        assert world.tracker.published <= min(world.applied, world.acknowledged)


def slot(timestamp: int, is_alive: bool = True) -> ReaderSlot:
    return ReaderSlot("instance-0", 3, 77, Timestamp(timestamp), is_alive)


def decide(tracker: HorizonTracker, now: int, head: int, *slots: ReaderSlot) -> tuple[int, int]:
    decision = tracker.decide(now, Timestamp(head), Timestamp(head), slots)
    return decision.publish, decision.collect


def test_without_readers_the_horizon_trails_by_the_lag() -> None:
    tracker = HorizonTracker(Timestamp(0), LAG, AGE_MAX)
    assert decide(tracker, 0, 100) == (0, 0)
    assert decide(tracker, LAG - 1, 200) == (0, 0)
    assert decide(tracker, LAG, 300) == (100, 0)
    assert decide(tracker, 2 * LAG, 400) == (300, 100)


def test_a_dead_reader_does_not_count() -> None:
    tracker = HorizonTracker(Timestamp(0), 0, AGE_MAX)
    assert decide(tracker, 0, 100, slot(50)) == (50, 0)
    assert decide(tracker, 1, 100, slot(50, is_alive=False)) == (100, 50)


def test_a_reader_that_outlives_its_limit_does_not_count() -> None:
    tracker = HorizonTracker(Timestamp(0), 0, AGE_MAX)
    assert decide(tracker, 0, 100, slot(50)) == (50, 0)
    assert decide(tracker, AGE_MAX, 100, slot(50)) == (50, 50)
    assert decide(tracker, AGE_MAX + 1, 100, slot(50)) == (100, 50)


def test_on_an_idle_cluster_a_reader_does_not_grow_old() -> None:
    """Its timestamp is the newest there is, so it may have begun just now, however old the timestamp looks."""
    tracker = HorizonTracker(Timestamp(0), 0, AGE_MAX)
    for now in range(0, 10 * AGE_MAX, AGE_MAX // 2):
        decide(tracker, now, 100, slot(100))
    assert decide(tracker, 10 * AGE_MAX, 200, slot(100)) == (100, 100)
    assert decide(tracker, 11 * AGE_MAX, 200, slot(100)) == (100, 100)
    assert decide(tracker, 11 * AGE_MAX + 1, 200, slot(100)) == (200, 100)


def test_nothing_moves_while_the_service_has_no_page() -> None:
    tracker = HorizonTracker(Timestamp(40), 0, AGE_MAX)
    decision = tracker.decide(0, Timestamp(100), Timestamp(0), [])
    assert decision.publish == 40

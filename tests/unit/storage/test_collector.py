"""The collection queue: each key once, oldest first, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.identifiers import Timestamp
from borealis.storage.collector import CollectionQueue
from borealis.storage.pace import BackgroundPace, Backoff

KEYS = [b"a", b"b", b"c"]


def make_queue(keys_max: int = 10, busy_overwrites: int = 100) -> CollectionQueue:
    return CollectionQueue(keys_max, busy_overwrites)


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 3)), max_size=30),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_every_overwriting_is_handed_out_after_it_and_before_the_end(
    overwrites: list[tuple[bytes, int]], limit: int, delay: int, busy_overwrites: int
) -> None:
    """A key handed out at a horizon is clean up to there, so a hand-out must follow each time it is written over."""
    queue = make_queue(busy_overwrites=busy_overwrites)
    now = 1
    cleaned: dict[bytes, int] = {}
    written_over: dict[bytes, int] = {}
    for key, step in overwrites:
        now += step
        queue.add([(Timestamp(now), key)])
        written_over[key] = now
        for taken in queue.take(Timestamp(now - 2), Timestamp(now - 2 - delay), limit):
            cleaned[taken] = now - 2
    while queue.is_ready(Timestamp(now)):
        for taken in queue.take(Timestamp(now), Timestamp(now), limit):
            cleaned[taken] = now
    assert len(queue) == 0
    assert all(cleaned[key] >= timestamp for key, timestamp in written_over.items())


def test_nothing_is_handed_out_before_the_horizon_passes() -> None:
    queue = make_queue()
    queue.add([(Timestamp(5), b"b"), (Timestamp(5), b"a")])
    assert not queue.is_ready(Timestamp(4))
    assert queue.take(Timestamp(4), Timestamp(4), 10) == []
    assert queue.take(Timestamp(5), Timestamp(5), 10) == [b"a", b"b"]


def test_a_pass_goes_over_the_keys_in_their_order() -> None:
    """Over those that had settled when it began; who came later waits for the next one."""
    queue = make_queue()
    queue.add((Timestamp(1), key) for key in (b"d", b"b", b"f"))
    assert queue.take(Timestamp(9), Timestamp(1), 1) == [b"b"]
    queue.add([(Timestamp(2), b"c"), (Timestamp(3), b"a")])
    assert queue.take(Timestamp(9), Timestamp(2), 2) == [b"d", b"f"]
    assert queue.take(Timestamp(9), Timestamp(2), 2) == [b"c"]
    assert not queue.is_ready(Timestamp(2))
    assert queue.take(Timestamp(9), Timestamp(3), 2) == [b"a"]


def test_a_busy_key_does_not_wait_for_a_pass() -> None:
    queue = make_queue(busy_overwrites=3)
    queue.add((Timestamp(number), b"b") for number in (1, 2, 3))
    queue.add((Timestamp(number), b"a") for number in (3, 4))
    assert queue.take(Timestamp(3), Timestamp(0), 10) == [b"b"]
    assert queue.take(Timestamp(4), Timestamp(0), 10) == []
    queue.add([(Timestamp(5), b"a")])
    assert queue.take(Timestamp(2), Timestamp(0), 10) == []
    assert queue.take(Timestamp(4), Timestamp(0), 10) == [b"a"]
    assert len(queue) == 1


def test_a_full_queue_says_that_it_lost_something() -> None:
    queue = make_queue(keys_max=2)
    queue.add((Timestamp(1), key) for key in (b"a", b"b", b"a"))
    assert not queue.is_incomplete
    queue.add([(Timestamp(2), b"c")])
    assert queue.is_incomplete
    assert len(queue) == 2


def test_background_work_rests_longer_than_it_works() -> None:
    pace = BackgroundPace(rest_factor=7)
    assert pace.due_ns == 0
    pace.worked(1_000, 1_100)
    assert pace.due_ns == 1_800


def test_backoff_doubles_up_to_its_most() -> None:
    backoff = Backoff(10, 50)
    assert [backoff.next_delay_ns() for _ in range(4)] == [10, 20, 40, 50]
    backoff.reset()
    assert backoff.next_delay_ns() == 10

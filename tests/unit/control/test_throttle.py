from hypothesis import given
from hypothesis import strategies as st

from borealis.control.throttle import CallRate, Throttle
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp

RATE = CallRate(calls_per_s=10, burst=20)


def at(seconds: float) -> Timestamp:
    return Timestamp(int(seconds * NANOSECONDS_PER_SECOND))


def test_a_burst_then_the_rate() -> None:
    throttle = Throttle(RATE)
    assert [throttle.take("a", at(1)) for _ in range(20)] == [None] * 20
    assert throttle.take("a", at(1)) == 1
    assert throttle.take("b", at(1)) is None
    assert throttle.take("a", at(1.1)) is None
    assert throttle.take("a", at(1.1)) == 1


def test_a_slow_rate_says_how_long_to_wait() -> None:
    throttle = Throttle(CallRate(calls_per_s=1, burst=1))
    assert throttle.take("a", at(0)) is None
    assert throttle.take("a", at(0.5)) == 1
    assert throttle.take("a", at(0)) == 1  # a clock that steps back gives nothing and takes nothing


@given(st.lists(st.floats(0, 1), max_size=200))
def test_never_more_than_the_burst_and_the_rate_allow(pauses: list[float]) -> None:
    throttle, now, allowed = Throttle(RATE), 0.0, 0
    for pause in pauses:
        now += pause
        allowed += throttle.take("a", at(now)) is None
        assert allowed <= RATE.burst + now * RATE.calls_per_s + 1e-3

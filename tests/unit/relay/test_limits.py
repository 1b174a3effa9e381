from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.relay.limits import ConnectionRates, RateLimit, network_of

START = 1_800_000_000 * NANOSECONDS_PER_SECOND


class NaiveBucket:
    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.tokens = float(limit.burst)
        self.now = START

    def take(self, now: int) -> bool:
        passed_s = (now - self.now) / NANOSECONDS_PER_SECOND
        self.tokens = min(self.limit.burst, self.tokens + passed_s * self.limit.per_second)
        self.now = now
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


@given(st.lists(st.sampled_from([0, 0, 0, 1_000_000, 10_000_000, 100_000_000, 10**10]), max_size=200))
def test_a_bucket_is_a_bucket(pauses: list[int]) -> None:
    limit = RateLimit(per_second=100, burst=5)
    rates, naive = ConnectionRates(limit), NaiveBucket(limit)
    now = START
    for pause in pauses:
        now += pause
        assert rates.take("a", Timestamp(now)) == naive.take(now)


def test_clusters_do_not_share_a_bucket() -> None:
    rates = ConnectionRates(RateLimit(per_second=1, burst=2))
    assert [rates.take("a", Timestamp(START)) for _ in range(3)] == [True, True, False]
    assert rates.take("b", Timestamp(START))


def test_a_clock_that_steps_back_locks_nobody_out() -> None:
    rates = ConnectionRates(RateLimit(per_second=1, burst=2))
    assert rates.take("a", Timestamp(START))
    back = START - 3_600 * NANOSECONDS_PER_SECOND
    assert not rates.take("a", Timestamp(back))
    assert rates.take("a", Timestamp(back + 3 * NANOSECONDS_PER_SECOND))


def test_a_network_is_what_one_host_has() -> None:
    assert network_of(ip_address("192.0.2.1")) != network_of(ip_address("192.0.2.2"))
    assert network_of(ip_address("2001:db8::1")) == network_of(ip_address("2001:db8::ffff:0:0:2"))
    assert network_of(ip_address("2001:db8::1")) != network_of(ip_address("2001:db8:0:1::1"))

"""How many calls an account may make: a token bucket for each. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp

# Accounts are few and made by the operator; the bound is there all the same.
_BUCKETS_MAX: Final = 10_000


@dataclass(frozen=True)
class CallRate:
    calls_per_s: int = 100
    burst: int = 500


@dataclass
class _Bucket:
    calls: float
    filled: Timestamp


class Throttle:
    def __init__(self, rate: CallRate) -> None:
        self._rate = rate
        self._buckets: dict[str, _Bucket] = {}

    def take(self, account: str, now: Timestamp) -> int | None:
        """None if the account may make a call; else after how many seconds it may, at least 1."""
        bucket = self._buckets.get(account)
        if bucket is None:
            if len(self._buckets) >= _BUCKETS_MAX:
                self._buckets.clear()
            bucket = self._buckets[account] = _Bucket(self._rate.burst, now)
        passed_s = max(0, now - bucket.filled) / NANOSECONDS_PER_SECOND
        bucket.calls = min(self._rate.burst, bucket.calls + passed_s * self._rate.calls_per_s)
        bucket.filled = now
        if bucket.calls >= 1:
            bucket.calls -= 1
            return None
        return math.ceil((1 - bucket.calls) / self._rate.calls_per_s)

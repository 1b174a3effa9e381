"""How far versions may be collected: the decision, without the looking. Pure.

The horizon is the timestamp below which no reader exists or can appear. Backends and storage agree on it without a lock
(docs/formats.md): a backend stores its read timestamp in its slot and then loads the horizon; storage publishes a
horizon and then, one round later, looks at the slots again and collects only up to the oldest one it sees. Whichever
came first, one sees the other: either the backend finds the horizon above its timestamp and takes a newer one, or
storage finds the slot. Each round therefore takes one look at the slots, uses it to confirm what the round before
published, and then to publish further.

The horizon trails by a lag, so that a backend does not find it above a timestamp that it took a moment ago. A slot of a
dead process does not count. Neither does one that held the horizon back for longer than a transaction may live; its age
counts from the first round that saw it behind the acknowledged timestamp, because on an idle cluster a new
transaction's read timestamp can be hours old.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from borealis.foundation.identifiers import NO_TIMESTAMP, Timestamp


@dataclass(frozen=True, slots=True)
class ReaderSlot:
    """One occupied slot of a readers file."""

    instance: str
    index: int
    process_id: int
    read_timestamp: Timestamp
    is_alive: bool


@dataclass(frozen=True, slots=True)
class HorizonDecision:
    """`publish` goes to the page now; up to `collect` versions may be collected now."""

    publish: Timestamp
    collect: Timestamp


class HorizonTracker:
    """One round at a time, with the clock and the slots handed in."""

    def __init__(self, published: Timestamp, lag_ns: int, reader_age_max_ns: int) -> None:
        self.published = published
        self._lag_ns = lag_ns
        self._reader_age_max_ns = reader_age_max_ns
        self._bounds: deque[tuple[int, Timestamp]] = deque()
        self._behind_since: dict[ReaderSlot, int] = {}

    def decide(
        self, now_ns: int, applied: Timestamp, acknowledged: Timestamp, slots: Iterable[ReaderSlot]
    ) -> HorizonDecision:
        """`now_ns` is monotonic. `acknowledged` is where the next reader takes its timestamp (0: not known)."""
        oldest = self._oldest_reader(now_ns, acknowledged, slots)
        collect = self.published if oldest is None else min(self.published, oldest)
        bound = self._trailing_bound(now_ns, min(applied, acknowledged))
        proposed = bound if oldest is None else min(bound, oldest)
        self.published = max(self.published, proposed)
        return HorizonDecision(self.published, collect)

    def _oldest_reader(self, now_ns: int, acknowledged: Timestamp, slots: Iterable[ReaderSlot]) -> Timestamp | None:
        behind: dict[ReaderSlot, int] = {}
        oldest: Timestamp | None = None
        for slot in slots:
            if not slot.is_alive or slot.read_timestamp == NO_TIMESTAMP:
                continue
            if slot.read_timestamp < acknowledged:
                since = behind[slot] = self._behind_since.get(slot, now_ns)
                if now_ns - since > self._reader_age_max_ns:
                    continue
            if oldest is None or slot.read_timestamp < oldest:
                oldest = slot.read_timestamp
        self._behind_since = behind
        return oldest

    def _trailing_bound(self, now_ns: int, bound: Timestamp) -> Timestamp:
        """The newest bound that is at least a lag old."""
        self._bounds.append((now_ns, bound))
        while len(self._bounds) > 1 and self._bounds[1][0] <= now_ns - self._lag_ns:
            self._bounds.popleft()
        taken_at, trailing = self._bounds[0]
        return trailing if taken_at <= now_ns - self._lag_ns else NO_TIMESTAMP

"""The memory of outcomes: which transaction ids have committed, and which ones have been refused for good.

Promises: whoever asks about a transaction gets Committed or Refused only if that is true and stays true; otherwise the
answer is "unknown". An id that is asked for before it was admitted is fenced: it will never be admitted. Fences need
not survive a restart, because a new lease refuses every transaction that began before it. A second copy of a commit
that arrives when the first one has been forgotten conflicts with its own writes.

Bounded by age and by number: beyond them the oldest generation is dropped and `since` rises.
"""

from bisect import bisect_right
from typing import Final

from borealis.adjudicator.limits import OutcomeLimits
from borealis.foundation.identifiers import NO_TIMESTAMP, CatalogVersion, Timestamp, TransactionId
from borealis.wire.commit_messages import Committed

_GENERATIONS: Final = 8


class _Generation:
    def __init__(self) -> None:
        self.committed: dict[TransactionId, Timestamp] = {}
        self.oldest = NO_TIMESTAMP
        self.newest = NO_TIMESTAMP


class OutcomeMemory:
    """Outcomes in generations, oldest first."""

    def __init__(self, since: Timestamp, catalog_version: CatalogVersion, limits: OutcomeLimits) -> None:
        self._since = since
        self._limits = limits
        self._generations = [_Generation()]
        # The catalog version in force from each timestamp on; the first entry covers everything remembered before.
        self._version_starts = [since]
        self._versions = [catalog_version]
        self._fences: dict[TransactionId, Timestamp] = {}

    @property
    def since(self) -> Timestamp:
        """Every commit after it is remembered."""
        return self._since

    def find(self, transaction_id: TransactionId, read_timestamp: Timestamp) -> Committed | None:
        """The outcome, if it is known to have committed. Commits come after reads: one before is not its own."""
        for generation in reversed(self._generations):
            timestamp = generation.committed.get(transaction_id)
            if timestamp is not None and timestamp > read_timestamp:
                return Committed(timestamp, self._versions[bisect_right(self._version_starts, timestamp) - 1])
        return None

    def is_fenced(self, transaction_id: TransactionId) -> bool:
        return transaction_id in self._fences

    def fence(self, transaction_id: TransactionId, read_timestamp: Timestamp) -> bool:
        """Refuse this id from now on. False if there are too many fences: then nothing may be promised."""
        if transaction_id not in self._fences and len(self._fences) >= self._limits.fences_max:
            return False
        self._fences[transaction_id] = read_timestamp
        return True

    def drop_fences(self, below: Timestamp) -> None:
        """Forget fences of transactions that read below a timestamp from which on they are refused anyway."""
        self._fences = {identifier: read for identifier, read in self._fences.items() if read >= below}

    def remember(self, committed: dict[TransactionId, Timestamp]) -> None:
        """Add the commits of a group, or one of the journal; they are newer than all before."""
        current = self._generations[-1]
        current.committed.update(committed)
        timestamps = list(committed.values())
        current.oldest = current.oldest or timestamps[0]
        current.newest = timestamps[-1]
        is_full = len(current.committed) * _GENERATIONS >= self._limits.outcomes_max
        if is_full or (current.newest - current.oldest) * _GENERATIONS >= self._limits.age_ns_max:
            self._generations.append(_Generation())
            self.forget(current.newest)

    def note_catalog_version(self, version: CatalogVersion, start: Timestamp) -> None:
        self._version_starts.append(start)
        self._versions.append(version)

    @property
    def is_empty(self) -> bool:
        return not self._generations[0].newest

    def forget(self, now: Timestamp) -> None:
        """Drop what is too old or too much."""
        while self._generations[0].newest and (
            sum(len(generation.committed) for generation in self._generations) > self._limits.outcomes_max
            or now - self._generations[0].newest > self._limits.age_ns_max
        ):
            self._since = max(self._since, self._generations.pop(0).newest)
            if not self._generations:
                self._generations.append(_Generation())
        keep = bisect_right(self._version_starts, self._since) - 1
        if keep > 0:
            del self._version_starts[:keep], self._versions[:keep]

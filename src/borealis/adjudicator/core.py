"""The core of the adjudicator: its decisions on transactions, in C (transaction_library/core.h says what it promises).

A group is decided between `begin_group` and `confirm`; one that has admitted anything is made durable before it is
confirmed, or the process ends.
"""

import ctypes
import secrets
from typing import Final

from borealis.adjudicator import library as c
from borealis.adjudicator.limits import AdjudicatorLimits
from borealis.adjudicator.published import Published
from borealis.foundation.errors import InvariantViolation, Malformed, Reason
from borealis.foundation.identifiers import (
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import Answer, Committed, OutcomeQuery, OutcomeUnknown, Refused
from borealis.wire.frames import Octets

_COMMITTED: Final = 1
_REFUSED: Final = 2


def check_record(data: bytes, library: ctypes.PyDLL = c.library) -> None:
    """Raises Malformed if these bytes are not a transaction record that obeys every rule."""
    problem = library.tx_check_record(data, len(data))
    if problem is not None:
        raise Malformed(problem.decode())


class Core:
    def __init__(
        self,
        limits: AdjudicatorLimits,
        start: Published,
        transactions: int,
        library: ctypes.PyDLL = c.library,
    ) -> None:
        """`transactions`: how many the journal holds before `start`."""
        window, outcomes, age = limits
        self._library = library
        self.address: int | None = library.tx_open(
            ctypes.byref(c.Limits(*window, *outcomes, age)), *start, transactions, secrets.randbits(64)
        )
        self._state: c.State = library.tx_state(self.address).contents
        self._group: c.Group = library.tx_group(self.address).contents
        self._answer = c.Answer()
        self._answer_reference = ctypes.byref(self._answer)

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._library.tx_close(self.address)
            self.address = None

    # What others may know

    @property
    def published(self) -> Published:
        state = self._state
        return Published(state.acknowledged, state.schema_version, state.catalog_version)

    @property
    def lease_start(self) -> Timestamp:
        start: Timestamp = self._state.lease_start
        return start

    @property
    def transactions(self) -> int:
        """In the journal since its beginning."""
        return int(self._state.transactions)

    @property
    def window_bytes(self) -> int:
        return int(self._state.window_bytes)

    @property
    def window_floor(self) -> Timestamp:
        """Conflicts with commits at or below it may have been forgotten."""
        return Timestamp(self._state.window_floor)

    @property
    def outcomes_since(self) -> Timestamp:
        """Outcomes of commits after it are remembered."""
        return Timestamp(self._state.outcomes_since)

    @property
    def has_memories(self) -> bool:
        """Whether `forget` will have something to do, now or later."""
        return bool(self._state.has_memories)

    @property
    def has_fences(self) -> bool:
        return bool(self._state.has_fences)

    # Recovery

    def replay_commit(self, transaction_id: TransactionId, timestamp: Timestamp) -> None:
        self._library.tx_replay_commit(self.address, transaction_id, timestamp)

    def replay_catalog_version(self, version: CatalogVersion, timestamp: Timestamp) -> None:
        self._library.tx_replay_catalog_version(self.address, version, timestamp)

    def replay_published(self, published: Published) -> None:
        self._library.tx_replay_published(self.address, *published)

    def begin_lease(self, timestamp: Timestamp) -> None:
        """The lease record is durable: from here on everything that began before it is refused."""
        self._library.tx_begin_lease(self.address, timestamp)

    # Groups

    def begin_group(self, now: Timestamp) -> None:
        self._library.tx_group_begin(self.address, now)

    def decide(self, record: Octets) -> Answer:
        """Decide one transaction; the record has been checked."""
        data = bytes(record)
        self._library.tx_group_decide(self.address, data, len(data), self._answer_reference)
        return self._take_answer()

    def ask(self, query: OutcomeQuery) -> Answer:
        """What has become of a transaction; one that has not committed is fenced. Needs no group."""
        self._library.tx_ask(self.address, *query, self._answer_reference)
        return self._take_answer()

    def _take_answer(self) -> Answer:
        answer = self._answer
        if answer.kind == _COMMITTED:
            return Committed(Timestamp(answer.timestamp), CatalogVersion(answer.catalog_version))
        if answer.kind == _REFUSED:
            return Refused(Reason(answer.reason), answer.text.decode())
        return OutcomeUnknown()

    def add_record(self, kind: int, payload: bytes) -> None:
        """A record of the service's own, behind what has been decided."""
        self._library.tx_group_add(self.address, kind, payload, len(payload))

    @property
    def has_records(self) -> bool:
        """Whether the group must be made durable."""
        return bool(self._group.records)

    @property
    def dropped(self) -> list[Relfilenode]:
        """What the transactions of the group have dropped."""
        group = self._group
        count = group.dropped_count
        return [Relfilenode(relfilenode) for relfilenode in group.dropped[:count]] if count else []

    def seal(self, position: Position, epoch: Epoch) -> None:
        """Finish the batch of the group, for this place in the journal."""
        if not self._group.records:
            raise InvariantViolation("a batch without records was asked for")
        self._library.tx_group_seal(self.address, position, epoch)

    @property
    def batch(self) -> bytes:
        """A copy of the batch that was sealed, until the group is confirmed."""
        return ctypes.string_at(self._group.batch, self._group.batch_bytes)

    def confirm(self) -> Published:
        """The batch is durable, or there is none: what to publish."""
        self._library.tx_group_confirm(self.address)
        return self.published

    def complete(self, effects: int) -> int:
        """Make a sealed group durable, confirm, publish and feed it; `effects` is the address of a `library.Effects`.

        Returns 0, or what an effect returned that ended it.
        """
        return int(self._library.tx_group_complete(self.address, effects))

    # Giving up and forgetting

    def give_up(self, transaction_id: TransactionId, read_timestamp: Timestamp) -> bool:
        """Fence a transaction. False if there are too many fences: then nothing may be promised."""
        return bool(self._library.tx_give_up(self.address, transaction_id, read_timestamp))

    def forget(self, now: Timestamp, oldest_active: Timestamp) -> None:
        """Drop what no transaction needs, given a lower bound on the read timestamps in use."""
        self._library.tx_forget(self.address, now, oldest_active)

"""The transaction service: adjudicator and journal together, and the order of the steps of a commit.

Decide, then complete: make durable, confirm, publish, feed the followers (`tx_group_complete` in C has that order), and
only then answer. The network shell and the simulation both drive this class, one with effects on local disk and
sockets, the other with those on a virtual world. It is synchronous: while a group is on its way nothing else happens in
the service.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from borealis.adjudicator.adjudicator import GROUP_BYTES_MAX, Adjudicator, Queue, Request
from borealis.adjudicator.effects import Effects
from borealis.adjudicator.limits import AdjudicatorLimits
from borealis.foundation.errors import BorealisError, Malformed
from borealis.foundation.identifiers import Epoch, Position, Timestamp
from borealis.journal.disk import Disk
from borealis.journal.file_journal import SEGMENT_BYTES_DEFAULT, FileJournal
from borealis.journal.reading import JournalView
from borealis.journal.recovery import JournalDamaged, Replay
from borealis.wire.commit_messages import Answer, Refused, SequenceCall
from borealis.wire.journal_batch import BATCH_HEADER_BYTES, Checkpoint, batch_length, encode_batch
from borealis.wire.transaction_record import TransactionRecord

# What a sequence call can add to a batch: its reservation, and its share of the record around it.
_SEQUENCE_BYTES: Final = 64


class RoomNeeded(BorealisError):  # noqa: N818 - a request to the caller
    """A spare segment of `spare_bytes` must be prepared before this group can be decided. Nothing has happened."""

    def __init__(self, spare_bytes: int) -> None:
        super().__init__(f"a spare segment of {spare_bytes} bytes is needed")
        self.spare_bytes = spare_bytes


class ServiceLimits(NamedTuple):
    adjudicator: AdjudicatorLimits = AdjudicatorLimits()
    segment_bytes: int = SEGMENT_BYTES_DEFAULT


class TransactionService:
    """Recovers when it is made; serves after `take_lease`."""

    def __init__(
        self,
        disk: Disk,
        zones: Sequence[Path],
        effects: Effects,
        limits: ServiceLimits | None = None,
        make_adjudicator: Callable[..., Adjudicator] = Adjudicator,
    ) -> None:
        self._limits = limits or ServiceLimits()
        self._effects = effects
        self._make_adjudicator = make_adjudicator
        self._adjudicator = make_adjudicator(limits=self._limits.adjudicator)
        try:
            self._journal, recovered = FileJournal.open(
                disk, zones, self._is_enough, self._replay_from, self._limits.segment_bytes
            )
        except Malformed as error:
            raise JournalDamaged(zones[0], 0, f"a record contradicts the journal: {error.text}") from error
        self._epoch = recovered.epoch

    def _is_enough(self, candidate: Checkpoint, newest: Checkpoint) -> bool:
        outcomes = self._limits.adjudicator.outcomes
        return (
            newest.last_timestamp - candidate.last_timestamp >= outcomes.age_ns_max
            or newest.transactions - candidate.transactions >= outcomes.outcomes_max
        )

    def _replay_from(self, checkpoint: Checkpoint) -> Replay:
        self._adjudicator = self._make_adjudicator(checkpoint, self._limits.adjudicator)
        return self._adjudicator.replay

    @property
    def adjudicator(self) -> Adjudicator:
        return self._adjudicator

    @property
    def journal(self) -> FileJournal:
        return self._journal

    @property
    def epoch(self) -> Epoch:
        return self._epoch

    @property
    def journal_view(self) -> JournalView:
        journal = self._journal
        return JournalView(journal.disk, journal.zones, journal.segments, journal.end)

    def take_lease(self, now: Timestamp, nonce: int) -> None:
        """Begin a new epoch, durably. `nonce` is 32 random bits; see docs/formats.md on what they keep out.

        Raises NoRoom if the disk has no room for a segment.
        """
        self._epoch = Epoch(((self._epoch >> 32) + 1) << 32 | nonce)
        record = self._adjudicator.lease_record(now)
        try:
            self._make_room(batch_length([0]))
        except RoomNeeded as needed:
            for _ in self._journal.prepare_spare(needed.spare_bytes):
                pass
            self._make_room(batch_length([0]))
        position = self._journal.end
        batch = encode_batch(position, self._epoch, [record])
        self._journal.append(batch)
        self._adjudicator.begin_lease(record)
        self._effects.attach(self._journal)
        self._effects.publish(self._adjudicator.published, self._adjudicator.lease_start)
        self._effects.feed(position, batch)

    def run_group(
        self,
        now: Timestamp,
        requests: Sequence[Request],
        queue: Queue | None = None,
        bytes_max: int = GROUP_BYTES_MAX,
    ) -> list[Answer]:
        """Decide a group and make it durable: what is first in the queue, and the requests.

        Returns the answers to the requests. All answers may leave when this returns. Raises RoomNeeded; then nothing
        has happened.
        """
        length = _batch_length_at_most(requests) if requests else 0
        if queue is not None:
            length += BATCH_HEADER_BYTES + queue.decidable_bytes(bytes_max)
        self._make_room(length)
        decision = self._adjudicator.decide(now, requests, queue, bytes_max)
        if decision.has_records:
            decision.seal(self._journal.end, self._epoch)
        self._adjudicator.complete(self._effects, decision)
        return decision.answers

    def complete(self) -> None:
        """Complete a group that was decided and sealed elsewhere."""
        self._adjudicator.complete(self._effects)

    def give_up(self, request: Request, refusal: Refused) -> Answer:
        """The answer to a request that is refused undecided."""
        return self._adjudicator.give_up(request, refusal) if type(request) is TransactionRecord else refusal

    def _make_room(self, length: int) -> None:
        journal = self._journal
        if journal.has_room(length):
            return
        checkpoint = self._adjudicator.checkpoint(journal.end)
        if not journal.has_spare_for(length, checkpoint):
            raise RoomNeeded(journal.spare_bytes_for(length, checkpoint))
        batch = journal.rotate(self._epoch, checkpoint)
        self._effects.attach(journal)
        self._effects.feed(Position(journal.end - len(batch)), batch)

    def forget(self, now: Timestamp, oldest_active: Timestamp) -> None:
        """Let go of what no running transaction needs; `oldest_active` bounds their read timestamps from below."""
        self._adjudicator.forget(now, oldest_active)

    def truncate(self, now: Timestamp, snapshot: Position) -> int:
        """Remove segments that a durable snapshot of the storage covers. Returns how many."""
        age = self._limits.adjudicator.outcomes.age_ns_max
        return self._journal.truncate(snapshot, Timestamp(max(self._adjudicator.outcomes_since, now - age)))

    def close(self) -> None:
        self._journal.close()


def _batch_length_at_most(requests: Sequence[Request]) -> int:
    lengths = [len(request.data) for request in requests if type(request) is TransactionRecord]
    sequences = [request for request in requests if type(request) is SequenceCall]
    return batch_length(lengths) + len(sequences) * _SEQUENCE_BYTES if lengths or sequences else 0

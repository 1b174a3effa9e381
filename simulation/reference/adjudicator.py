"""The adjudicator: decides which transactions commit, at what timestamp, in which order.

A group of requests is decided as a whole into a `Decision`: what to append to the journal, what to publish, what to
answer. The decision changes nothing until it is confirmed; whoever asked for it confirms it once its batch is durable,
or forgets it, and then it never happened: no key stays blocked by a commit that is not there, no version or timestamp
is used up. Only fences are there at once: they promise refusals and nothing else.

One decision is in flight at a time. Guarantee: strong snapshot isolation, first committer wins. A commit timestamp is
greater than every timestamp that a reader may have been given.
"""

from collections.abc import Sequence
from typing import Any, Final

from borealis.adjudicator.adjudicator import GROUP_BYTES_MAX, Request
from borealis.adjudicator.limits import AdjudicatorLimits
from borealis.adjudicator.published import Published
from borealis.adjudicator.sequences import SequenceState, SequenceTable, restored_state, step
from borealis.foundation.errors import InvariantViolation, Malformed, Reason
from borealis.foundation.identifiers import (
    NANOSECONDS_PER_SECOND,
    NO_TIMESTAMP,
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import Answer, Committed, OutcomeQuery, OutcomeUnknown, Refused, SequenceCall
from borealis.wire.frames import Octets
from borealis.wire.journal_batch import (
    Checkpoint,
    JournalRecord,
    RecordKind,
    SequenceReservation,
    decode_checkpoint,
    decode_reservations,
    encode_batch,
    encode_reservations,
)
from borealis.wire.transaction_record import TransactionRecord, decode_outline
from simulation.effects import VirtualEffects
from simulation.reference.conflicts import ConflictWindow, Footprint, Generation, footprint_of
from simulation.reference.outcomes import OutcomeMemory

_SAMPLE_SPACING_NS: Final = NANOSECONDS_PER_SECOND

_BEFORE_LEASE: Final = Refused(Reason.FORGOTTEN, "the transaction began before the transaction service was restarted")
_BEFORE_WINDOW: Final = Refused(Reason.FORGOTTEN, "too much has been committed since the transaction began")
_FENCED: Final = Refused(Reason.FORGOTTEN, "the transaction was given up before its commit arrived")
_NOT_COMMITTED: Final = Refused(Reason.FORGOTTEN, "the transaction has not been committed")
_STALE_SCHEMA: Final = Refused(Reason.SCHEMA_CONFLICT, "the schema has changed since the transaction began")
_STALE_CATALOG: Final = Refused(Reason.SCHEMA_CONFLICT, "another transaction has changed the catalog")
_FUTURE: Final = Refused(Reason.MALFORMED, "the read timestamp lies in the future")


class Decision:
    """A decided group: the answers, the records of its batch, and what confirmation will add."""

    def __init__(self, published: Published, now: Timestamp) -> None:
        self.answers: list[Answer] = []
        self.records: list[JournalRecord] = []
        self.last_timestamp = published.acknowledged
        self.next_timestamp = Timestamp(max(now, published.acknowledged + 1))
        self.schema_version = published.schema_version
        self.catalog_version = published.catalog_version
        self.catalog_changes: list[tuple[CatalogVersion, Timestamp]] = []
        self.touched = Generation()
        self.committed: dict[TransactionId, Committed] = {}
        self.dropped: list[Relfilenode] = []
        self.sequences: dict[Relfilenode, SequenceState] = {}
        self.reservations: dict[Relfilenode, SequenceReservation] = {}
        self.position = Position(0)
        self.batch = b""

    @property
    def has_records(self) -> bool:
        return bool(self.records)

    def seal(self, position: Position, epoch: Epoch) -> None:
        """Finish the batch, for this place in the journal; there is at least one record."""
        self.position = position
        self.batch = bytes(encode_batch(position, epoch, self.records))

    def admit(self, record: TransactionRecord, footprint: Footprint) -> Committed:
        timestamp = self.last_timestamp = self.next_timestamp
        self.next_timestamp = Timestamp(timestamp + 1)
        if record.catalog_entry:
            self.catalog_version = CatalogVersion(self.catalog_version + 1)
            self.catalog_changes.append((self.catalog_version, timestamp))
            if record.invalidates_running:
                self.schema_version = SchemaVersion(self.catalog_version)
        self.dropped += record.dropped
        self.touched.touch(footprint, timestamp)
        self.records.append(JournalRecord(RecordKind.TRANSACTION, timestamp, self.catalog_version, record.data))
        committed = self.committed[record.transaction_id] = Committed(timestamp, self.catalog_version)
        return committed


class ReferenceAdjudicator:
    """Made from the checkpoint and records that recovery reads; decides nothing before it has begun its lease."""

    def __init__(self, checkpoint: Checkpoint | None = None, limits: AdjudicatorLimits | None = None) -> None:
        self._limits = limits or AdjudicatorLimits()
        start = checkpoint or Checkpoint(
            Position(0), NO_TIMESTAMP, CatalogVersion(0), SchemaVersion(0), transactions=0, reservations=[]
        )
        self._published = Published(start.last_timestamp, start.schema_version, start.catalog_version)
        self._transactions = start.transactions
        self._sequences = SequenceTable()
        self._sequences.change({found.relfilenode: restored_state(found) for found in start.reservations})
        self._outcomes = OutcomeMemory(start.last_timestamp, start.catalog_version, self._limits.outcomes)
        self._window = ConflictWindow(start.last_timestamp, self._limits.window)
        self._lease_start = NO_TIMESTAMP
        # Some commit timestamps, ascending, spaced out: a transaction that read below one of them began before it.
        self._samples: list[Timestamp] = []
        self._age_floor = NO_TIMESTAMP

    # Recovery

    def replay(self, record: JournalRecord) -> None:
        """Take in a record of the journal; records come in order, from the checkpoint on. Raises Malformed."""
        kind, timestamp, catalog_version, payload = record
        acknowledged, schema_version, known_version = self._published
        if timestamp < acknowledged or catalog_version < known_version:
            raise Malformed("timestamps or catalog versions fall along the journal")
        match kind:
            case RecordKind.TRANSACTION:
                outline = decode_outline(payload)
                if outline.has_catalog_entry:
                    self._outcomes.note_catalog_version(catalog_version, timestamp)
                    if outline.invalidates_running:
                        schema_version = SchemaVersion(catalog_version)
                self._outcomes.remember({outline.transaction_id: timestamp})
                for relfilenode in outline.dropped:
                    self._sequences.drop(relfilenode)
                self._transactions += 1
            case RecordKind.SEQUENCES:
                found = decode_reservations(payload)
                self._sequences.change({each.relfilenode: restored_state(each) for each in found})
            case RecordKind.CHECKPOINT:
                self._check_against(decode_checkpoint(payload))
            case RecordKind.EPOCH:
                pass
            case unknown:
                raise Malformed(f"a record of kind {unknown} is not known")
        self._published = Published(timestamp, schema_version, catalog_version)

    def _check_against(self, checkpoint: Checkpoint) -> None:
        mine = self.checkpoint(checkpoint.previous_end)
        if mine._replace(reservations=[]) != checkpoint._replace(reservations=[]):
            raise Malformed("a checkpoint contradicts the records before it")

    def lease_record(self, now: Timestamp) -> JournalRecord:
        """The record whose durability makes the lease; its timestamp becomes the lease's start."""
        start = Timestamp(max(now, self._published.acknowledged + 1))
        return JournalRecord(RecordKind.EPOCH, start, self._published.catalog_version, b"")

    def begin_lease(self, record: JournalRecord) -> None:
        """The lease record is durable: from here on everything that began before it is refused."""
        self._lease_start = record.timestamp
        self._published = self._published._replace(acknowledged=record.timestamp)
        self._window = ConflictWindow(record.timestamp, self._limits.window)
        self._samples = [record.timestamp]

    # What others may know

    @property
    def published(self) -> Published:
        return self._published

    @property
    def lease_start(self) -> Timestamp:
        return self._lease_start

    @property
    def window_bytes(self) -> int:
        return self._window.cost_bytes

    @property
    def window_floor(self) -> Timestamp:
        """Whoever read below it is refused."""
        return self._window.floor

    @property
    def has_memories(self) -> bool:
        """Whether `forget` will have something to do, now or later."""
        return bool(self._window.cost_bytes) or not self._outcomes.is_empty

    @property
    def outcomes_since(self) -> Timestamp:
        """Outcomes of commits after it are remembered; the journal must keep at least those."""
        return self._outcomes.since

    def checkpoint(self, previous_end: Position) -> Checkpoint:
        acknowledged, schema_version, catalog_version = self._published
        reservations = self._sequences.reservations()
        return Checkpoint(previous_end, acknowledged, catalog_version, schema_version, self._transactions, reservations)

    # Decisions

    def decide(
        self,
        now: Timestamp,
        requests: Sequence[Request],
        queue: Any = None,
        bytes_max: int = GROUP_BYTES_MAX,
    ) -> Decision:
        """Decide what waits in the queue, up to `bytes_max`, and then the requests in their order."""
        if not self._lease_start:
            raise InvariantViolation("a decision was asked for before the lease")
        self._advance_age_floor(now)
        decision = Decision(self._published, now)
        if queue is not None:
            queue.decide(_GroupCore(self, decision), bytes_max)
        for request in requests:
            match request:
                case TransactionRecord():
                    answer = self.decide_transaction(decision, request)
                case SequenceCall():
                    answer = self._decide_sequence(decision, request)
                case OutcomeQuery():
                    answer = self._decide_outcome(decision, request)
            decision.answers.append(answer)
        if decision.reservations:
            payload = encode_reservations(list(decision.reservations.values()))
            decision.records.append(
                JournalRecord(RecordKind.SEQUENCES, decision.last_timestamp, decision.catalog_version, payload)
            )
        return decision

    def decide_transaction(self, decision: Decision, record: TransactionRecord) -> Answer:
        identifier, read = record.transaction_id, record.read_timestamp
        if read > self._published.acknowledged:
            return _FUTURE
        known = self._find_committed(decision, identifier, read)
        if known is not None:
            return known
        footprint = footprint_of(record)
        refusal = (
            self._refuse_by_age(identifier, read)
            or _refuse_by_catalog(decision, record)
            or self._refuse_by_conflict(decision, footprint, read)
        )
        return refusal or decision.admit(record, footprint)

    def _find_committed(self, decision: Decision, identifier: TransactionId, read: Timestamp) -> Committed | None:
        return decision.committed.get(identifier) or self._outcomes.find(identifier, read)

    def _refuse_by_age(self, identifier: TransactionId, read: Timestamp) -> Refused | None:
        if read < self._lease_start:
            return _BEFORE_LEASE
        if read < self._age_floor:
            limit = self._limits.transaction_age_ns_max // NANOSECONDS_PER_SECOND
            return Refused(Reason.TOO_OLD, f"transaction age limit of {limit}s exceeded")
        if read < self._window.floor:
            return _BEFORE_WINDOW
        if self._outcomes.is_fenced(identifier):
            return _FENCED
        return None

    def _refuse_by_conflict(self, decision: Decision, footprint: Footprint, read: Timestamp) -> Refused | None:
        key = decision.touched.find_conflict(footprint, read) or self._window.find_conflict(footprint, read)
        if key is None:
            return None
        relfilenode = int.from_bytes(key[1:5], "big")
        return Refused(Reason.DATA_CONFLICT, f"another transaction has changed a key of relfilenode {relfilenode}")

    def _decide_outcome(self, decision: Decision, query: OutcomeQuery) -> Answer:
        identifier, read = query
        if read > self._published.acknowledged:
            return _FUTURE
        known = self._find_committed(decision, identifier, read)
        if known is not None:
            return known
        if read < self._outcomes.since or not self._outcomes.fence(identifier, read):
            return OutcomeUnknown()
        return _NOT_COMMITTED

    def _decide_sequence(self, decision: Decision, call: SequenceCall) -> Answer:
        relfilenode = call.relfilenode
        taken = step(decision.sequences.get(relfilenode) or self._sequences.find(relfilenode), call)
        if taken.state is not None:
            decision.sequences[relfilenode] = taken.state
        if taken.reservation is not None:
            decision.reservations[relfilenode] = taken.reservation
        return taken.answer

    def give_up(self, record: TransactionRecord, refusal: Refused) -> Refused | OutcomeUnknown:
        """The answer to a transaction that is refused undecided, for a reason that may pass.

        It is fenced, so that no copy that is still on its way can get in. Where that is impossible nothing is promised.
        """
        is_fenced = self._outcomes.fence(record.transaction_id, record.read_timestamp)
        return refusal if is_fenced else OutcomeUnknown()

    # After a decision

    def confirm(self, decision: Decision) -> Published:
        """The batch of the decision is durable (or it has none): it has happened. Returns what to publish."""
        if decision.committed:
            newest = decision.last_timestamp
            self._window.absorb(decision.touched)
            self._outcomes.remember({each: committed.timestamp for each, committed in decision.committed.items()})
            for version, start in decision.catalog_changes:
                self._outcomes.note_catalog_version(version, start)
            self._transactions += len(decision.committed)
            self._published = Published(newest, decision.schema_version, decision.catalog_version)
            if newest - self._samples[-1] >= _SAMPLE_SPACING_NS:
                self._samples.append(newest)
        for relfilenode in decision.dropped:
            self._sequences.drop(relfilenode)
        self._sequences.change(decision.sequences)
        return self._published

    def complete(self, effects: VirtualEffects, decision: Decision) -> None:
        """All that follows the decision, in its order. The answers may leave when this returns."""
        if not decision.has_records:
            self.confirm(decision)
            return
        effects.persist(decision.batch)
        effects.publish(self.confirm(decision), self._lease_start)
        effects.feed(decision.position, decision.batch)

    # Forgetting

    def forget(self, now: Timestamp, oldest_active: Timestamp) -> None:
        """Drop what no transaction needs, given a lower bound on the read timestamps in use."""
        self._advance_age_floor(now)
        self._outcomes.forget(now)
        self._window.forget(max(min(oldest_active, self._published.acknowledged), self._age_floor))
        self._outcomes.drop_fences(max(self._lease_start, self._window.floor, self._age_floor))

    def _advance_age_floor(self, now: Timestamp) -> None:
        """Raise the floor to the newest known commit that is older than the age limit.

        A read timestamp is that of the newest commit when the transaction began, and says little about its age on a
        quiet cluster; but if it lies below a commit, the transaction began before that commit.
        """
        limit = now - self._limits.transaction_age_ns_max
        while self._samples and self._samples[0] <= limit:
            self._age_floor = self._samples.pop(0)
        if not self._samples:
            self._samples.append(max(self._age_floor, self._lease_start))


class _GroupCore:
    """What a queue takes for the core of the adjudicator."""

    def __init__(self, adjudicator: ReferenceAdjudicator, decision: Decision) -> None:
        self._adjudicator = adjudicator
        self._decision = decision

    def decide(self, record: Octets) -> Answer:
        return self._adjudicator.decide_transaction(self._decision, TransactionRecord(record))


def _refuse_by_catalog(decision: Decision, record: TransactionRecord) -> Refused | None:
    if record.schema_version != decision.schema_version:
        return _STALE_SCHEMA
    if record.catalog_entry and record.follows_catalog_version != decision.catalog_version:
        return _STALE_CATALOG
    return None

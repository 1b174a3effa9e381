"""The adjudicator: decides which transactions commit, at what timestamp, in which order. Pure logic.

A group of requests is decided as a whole into a `Decision`: what to append to the journal, what to answer. The shell
makes its batch durable and confirms it, or the process ends; nothing is published before. Decisions on transactions are
made in C (core.py), those on sequences here, and recovery, which reads the journal, as well.

One decision is in flight at a time. Guarantee: strong snapshot isolation, first committer wins. A commit timestamp is
greater than every timestamp that a reader may have been given.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from borealis.adjudicator.core import Core
from borealis.adjudicator.effects import Effects
from borealis.adjudicator.limits import AdjudicatorLimits
from borealis.adjudicator.published import Published
from borealis.adjudicator.sequences import SequenceState, SequenceTable, restored_state, step
from borealis.foundation.errors import InvariantViolation, Malformed
from borealis.foundation.identifiers import (
    NO_TIMESTAMP,
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
)
from borealis.wire.commit_messages import Answer, OutcomeQuery, OutcomeUnknown, Refused, SequenceCall
from borealis.wire.journal_batch import (
    Checkpoint,
    JournalRecord,
    RecordKind,
    SequenceReservation,
    decode_checkpoint,
    decode_reservations,
    encode_reservations,
)
from borealis.wire.transaction_record import TransactionRecord, decode_outline

Request: TypeAlias = TransactionRecord | OutcomeQuery | SequenceCall

GROUP_BYTES_MAX: Final = 8 * 2**20
"""A group ends before the transaction that would take it over this; bounds how long a sync keeps all waiting."""


class Queue(Protocol):
    """Transactions that wait to be decided; whoever queued them sends the answers."""

    def decidable_bytes(self, bytes_max: int) -> int:
        """What `decide` would add to a batch at most."""

    def decide(self, core: Core, bytes_max: int) -> int:
        """Have the first ones decided, until the next would go over `bytes_max`; one at least. Returns how many."""


class Decision:
    """A decided group: `answers` to the requests, and what confirmation will add."""

    __slots__ = ("_core", "answers", "reservations", "sequences")

    def __init__(self, core: Core) -> None:
        self._core = core
        self.answers: list[Answer] = []
        self.sequences: dict[Relfilenode, SequenceState] = {}
        self.reservations: dict[Relfilenode, SequenceReservation] = {}

    @property
    def has_records(self) -> bool:
        """Whether there is a batch, which must become durable."""
        return self._core.has_records

    def seal(self, position: Position, epoch: Epoch) -> None:
        """Finish the batch, for this place in the journal."""
        self._core.seal(position, epoch)

    @property
    def batch(self) -> bytes:
        """A copy of what was sealed, until it is confirmed."""
        return self._core.batch


class Adjudicator:
    """Made from the checkpoint and records that recovery reads; decides nothing before it has begun its lease."""

    def __init__(self, checkpoint: Checkpoint | None = None, limits: AdjudicatorLimits | None = None) -> None:
        start = checkpoint or Checkpoint(
            Position(0), NO_TIMESTAMP, CatalogVersion(0), SchemaVersion(0), transactions=0, reservations=[]
        )
        published = Published(start.last_timestamp, start.schema_version, start.catalog_version)
        self._core = Core(limits or AdjudicatorLimits(), published, start.transactions)
        self._has_lease = False
        self._sequences = SequenceTable()
        self._sequences.change({found.relfilenode: restored_state(found) for found in start.reservations})

    # Recovery

    def replay(self, record: JournalRecord) -> None:
        """Take in a record of the journal; records come in order, from the checkpoint on. Raises Malformed."""
        kind, timestamp, catalog_version, payload = record
        core = self._core
        acknowledged, schema_version, known_version = core.published
        if timestamp < acknowledged or catalog_version < known_version:
            raise Malformed("timestamps or catalog versions fall along the journal")
        match kind:
            case RecordKind.TRANSACTION:
                outline = decode_outline(payload)
                if outline.has_catalog_entry:
                    core.replay_catalog_version(catalog_version, timestamp)
                    if outline.invalidates_running:
                        schema_version = SchemaVersion(catalog_version)
                core.replay_commit(outline.transaction_id, timestamp)
                for relfilenode in outline.dropped:
                    self._sequences.drop(relfilenode)
            case RecordKind.SEQUENCES:
                found = decode_reservations(payload)
                self._sequences.change({each.relfilenode: restored_state(each) for each in found})
            case RecordKind.CHECKPOINT:
                self._check_against(decode_checkpoint(payload))
            case RecordKind.EPOCH:
                pass
            case unknown:
                raise Malformed(f"a record of kind {unknown} is not known")
        core.replay_published(Published(timestamp, schema_version, catalog_version))

    def _check_against(self, checkpoint: Checkpoint) -> None:
        mine = self.checkpoint(checkpoint.previous_end)
        if mine._replace(reservations=[]) != checkpoint._replace(reservations=[]):
            raise Malformed("a checkpoint contradicts the records before it")

    def lease_record(self, now: Timestamp) -> JournalRecord:
        """The record whose durability makes the lease; its timestamp becomes the lease's start."""
        published = self._core.published
        start = Timestamp(max(now, published.acknowledged + 1))
        return JournalRecord(RecordKind.EPOCH, start, published.catalog_version, b"")

    def begin_lease(self, record: JournalRecord) -> None:
        """The lease record is durable: from here on everything that began before it is refused."""
        self._core.begin_lease(record.timestamp)
        self._has_lease = True

    # What others may know

    @property
    def core(self) -> Core:
        """For the desk, whose transactions it decides."""
        return self._core

    @property
    def published(self) -> Published:
        return self._core.published

    @property
    def lease_start(self) -> Timestamp:
        return self._core.lease_start

    @property
    def window_bytes(self) -> int:
        return self._core.window_bytes

    @property
    def has_memories(self) -> bool:
        """Whether `forget` will have something to do, now or later."""
        return self._core.has_memories

    @property
    def outcomes_since(self) -> Timestamp:
        """Outcomes of commits after it are remembered; the journal must keep at least those."""
        return self._core.outcomes_since

    def checkpoint(self, previous_end: Position) -> Checkpoint:
        acknowledged, schema_version, catalog_version = self._core.published
        return Checkpoint(
            previous_end,
            acknowledged,
            catalog_version,
            schema_version,
            self._core.transactions,
            self._sequences.reservations(),
        )

    # Decisions

    def decide(
        self,
        now: Timestamp,
        requests: Sequence[Request],
        queue: Queue | None = None,
        bytes_max: int = GROUP_BYTES_MAX,
    ) -> Decision:
        """Decide what waits in the queue, up to `bytes_max`, and then the requests in their order."""
        core = self._core
        if not self._has_lease:
            raise InvariantViolation("a decision was asked for before the lease")
        core.begin_group(now)
        decision = Decision(core)
        if queue is not None:
            queue.decide(core, bytes_max)
        for request in requests:
            if type(request) is TransactionRecord:
                decision.answers.append(core.decide(request.data))
            elif type(request) is SequenceCall:
                decision.answers.append(self._decide_sequence(decision, request))
            elif type(request) is OutcomeQuery:
                decision.answers.append(core.ask(request))
        if decision.reservations:
            core.add_record(RecordKind.SEQUENCES, encode_reservations(list(decision.reservations.values())))
        return decision

    def _decide_sequence(self, decision: Decision, call: SequenceCall) -> Answer:
        relfilenode = call.relfilenode
        state = decision.sequences.get(relfilenode) or self._sequences.find(relfilenode)
        taken = step(state, call)
        if taken.state is not None:
            decision.sequences[relfilenode] = taken.state
        if taken.reservation is not None:
            decision.reservations[relfilenode] = taken.reservation
        return taken.answer

    def give_up(self, record: TransactionRecord, refusal: Refused) -> Refused | OutcomeUnknown:
        """The answer to a transaction that is refused undecided, for a reason that may pass.

        It is fenced, so that no copy that is still on its way can get in. Where that is impossible nothing is promised.
        """
        is_fenced = self._core.give_up(record.transaction_id, record.read_timestamp)
        return refusal if is_fenced else OutcomeUnknown()

    # After a decision

    def confirm(self, decision: Decision | None = None) -> Published:
        """The batch of what was decided is durable (or it has none): it has happened. Returns what to publish."""
        self._settle_sequences(decision)
        return self._core.confirm()

    def complete(self, effects: Effects, decision: Decision | None = None) -> None:
        """Make what was decided and sealed durable, confirm, publish and feed it. The answers may leave then."""
        self._settle_sequences(decision)
        effects.check(self._core.complete(effects.address))

    def _settle_sequences(self, decision: Decision | None) -> None:
        for relfilenode in self._core.dropped:
            self._sequences.drop(relfilenode)
        if decision is not None and decision.sequences:
            self._sequences.change(decision.sequences)

    def forget(self, now: Timestamp, oldest_active: Timestamp) -> None:
        """Drop what no transaction needs, given a lower bound on the read timestamps in use."""
        self._core.forget(now, oldest_active)

"""The adjudicator in C decides as its specification in Python does, step for step and byte for byte.

Both are led through the same history: groups of requests, forgetting, giving up, restarts from the journal that the
groups have left. All bounds are tiny, so that keys, outcomes and fences are forgotten all the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.adjudicator import Adjudicator
from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits, WindowLimits
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import (
    NANOSECONDS_PER_SECOND,
    CatalogVersion,
    Epoch,
    Position,
    Relfilenode,
    SchemaVersion,
    Timestamp,
)
from borealis.wire.commit_messages import (
    Answer,
    Committed,
    OutcomeQuery,
    OutcomeUnknown,
    Refused,
    SequenceCall,
    SequenceGrant,
    SequenceOperation,
)
from borealis.wire.journal_batch import Checkpoint, JournalRecord, RecordKind, decode_batch, encode_checkpoint
from borealis.wire.transaction_record import TransactionRecord, encode_transaction
from simulation.reference import ReferenceAdjudicator
from tests.unit.adjudicator.driving import LEASE, call_next, transaction_id

EPOCH = Epoch(7 << 32 | 5)
AGAIN_MAX = 8
TABLES = (b"\x10\0\0\0\1", b"\x10\0\0\0\2")
KEYS = [
    table + tail for table in TABLES for tail in (b"a", b"b", b"ab", b"a long key that does not fit into one word")
] + [b"\x20\0\0\0\1a"]
DELETES = (4, 6)

LIMITS = [
    AdjudicatorLimits(
        WindowLimits(window_bytes_max=500, generation_bytes_max=200, generation_span_ns_max=40),
        OutcomeLimits(age_ns_max=400, outcomes_max=20, fences_max=3),
        transaction_age_ns_max=3 * NANOSECONDS_PER_SECOND,
    ),
    AdjudicatorLimits(
        WindowLimits(window_bytes_max=1, generation_bytes_max=1, generation_span_ns_max=10**18),
        OutcomeLimits(age_ns_max=10**18, outcomes_max=9, fences_max=1),
        transaction_age_ns_max=NANOSECONDS_PER_SECOND,
    ),
    AdjudicatorLimits(
        WindowLimits(window_bytes_max=10_000, generation_bytes_max=1_000, generation_span_ns_max=1),
        OutcomeLimits(age_ns_max=8, outcomes_max=100, fences_max=10),
        transaction_age_ns_max=10 * NANOSECONDS_PER_SECOND,
    ),
    AdjudicatorLimits(),
]


@dataclass(frozen=True)
class Transaction:
    """Numbers that only mean something within a history: which of the commits so far, of the keys."""

    again: int
    """0: an id that is new; else one that was used before, counted back."""
    read: int
    writes: dict[int, int]
    locks: list[tuple[int, int]]
    schema_behind: int
    entry: bytes
    follows_behind: int
    invalidates: bool
    dropped: list[int]


@dataclass(frozen=True)
class Ask:
    again: int
    read: int


@dataclass(frozen=True)
class Call:
    relfilenode: int
    operation: SequenceOperation
    wanted: int


@dataclass(frozen=True)
class Group:
    advance: int
    requests: list[Transaction | Ask | Call]


@dataclass(frozen=True)
class GiveUp:
    again: int
    read: int


@dataclass(frozen=True)
class Forget:
    advance: int
    oldest_active: int


@dataclass(frozen=True)
class Restart:
    checkpoint: int
    """How many of the checkpoints so far lie behind the one to begin with."""


Step = Group | GiveUp | Forget | Restart

AGAIN = st.one_of(st.just(0), st.integers(0, AGAIN_MAX))
# Reads count commits back from the newest; what is beyond the first, or in the future, is there, too.
READS = st.one_of(st.integers(0, 4), st.integers(-1, 40))
ADVANCES = st.one_of(
    st.integers(-50, 100), st.sampled_from([0, NANOSECONDS_PER_SECOND, 5 * NANOSECONDS_PER_SECOND, -(10**12)])
)
TRANSACTIONS = st.builds(
    Transaction,
    again=AGAIN,
    read=READS,
    writes=st.dictionaries(st.integers(0, len(KEYS) - 1), st.integers(1, 6), max_size=3),
    locks=st.lists(st.tuples(st.integers(1, 4), st.integers(-2, len(KEYS) - 1)), max_size=2),
    schema_behind=st.sampled_from([0, 0, 0, 1]),
    entry=st.sampled_from([b"", b"", b"entry"]),
    follows_behind=st.sampled_from([0, 0, 0, 1]),
    invalidates=st.booleans(),
    dropped=st.lists(st.integers(1, 3), max_size=2),
)
STEPS = st.one_of(
    st.builds(
        Group,
        ADVANCES,
        st.lists(
            st.one_of(
                TRANSACTIONS,
                TRANSACTIONS,
                st.builds(Ask, AGAIN, READS),
                st.builds(Call, st.integers(1, 3), st.sampled_from(SequenceOperation), st.integers(1, 50)),
            ),
            max_size=5,
        ),
    ),
    st.builds(GiveUp, AGAIN, READS),
    st.builds(Forget, ADVANCES, READS),
    st.builds(Restart, st.integers(0, 2)),
)


class Lives(NamedTuple):
    reference: ReferenceAdjudicator
    production: Adjudicator


class History:
    """Leads both through the same steps, and compares."""

    def __init__(self, limits: AdjudicatorLimits) -> None:
        self._limits = limits
        self._now = LEASE
        self._position = Position(0)
        self._journal: list[JournalRecord] = []
        self._checkpoints: list[tuple[Checkpoint | None, int]] = [(None, 0)]
        self._commits: list[Timestamp] = []
        self._identities: list[OutcomeQuery] = []
        self.answers: list[Answer] = []
        self._lives = self._recover(0)
        self._begin_lease()

    def take(self, step: Step) -> None:
        match step:
            case Group(advance, requests):
                self._now = self._moved(advance)
                self.decide([self._request(each) for each in requests])
            case GiveUp(again, read):
                record = TransactionRecord(encode_transaction(*self._identity(again, read)))
                refusal = Refused(Reason.DISK_FULL, "full")
                answers = [life.give_up(record, refusal) for life in self._lives]
                assert answers[0] == answers[1]
            case Forget(advance, oldest_active):
                for life in self._lives:
                    life.forget(self._moved(advance), self.timestamp(oldest_active))
            case Restart(checkpoint):
                self._restart(checkpoint)
        self.compare()

    def _moved(self, advance: int) -> Timestamp:
        return Timestamp(max(1, self._now + advance))

    def timestamp(self, back: int) -> Timestamp:
        """That of a commit, counted back from the newest; -1 is the future."""
        if back < 0:
            return Timestamp(self._lives.reference.published.acknowledged + 1)
        if back >= len(self._commits):
            return Timestamp(LEASE - 1)
        return self._commits[-1 - back]

    def _identity(self, again: int, back: int) -> OutcomeQuery:
        """Mostly a transaction is sent, and asked for, with the same read timestamp; nothing relies on it."""
        read = self.timestamp(back)
        if not 0 < again <= len(self._identities):
            self._identities.append(OutcomeQuery(transaction_id(len(self._identities)), read))
            again = 1
        identity = self._identities[-again]
        return identity._replace(read_timestamp=read) if back % 4 == 3 else identity

    def _request(self, request: Transaction | Ask | Call) -> TransactionRecord | OutcomeQuery | SequenceCall:
        match request:
            case Transaction():
                return self._transaction(request)
            case Ask(again, read):
                return self._identity(again, read)
            case Call(relfilenode, operation, wanted):
                return call_next(wanted, relfilenode, operation=operation, value=10 * wanted)

    def _transaction(self, drawn: Transaction) -> TransactionRecord:
        published = self._lives.reference.published
        follows = max(0, published.catalog_version - drawn.follows_behind) if drawn.entry else 0
        return TransactionRecord(
            encode_transaction(
                *self._identity(drawn.again, drawn.read),
                SchemaVersion(max(0, published.schema_version - drawn.schema_behind)),
                writes=[
                    (operation, KEYS[key], b"" if operation in DELETES else b"value")
                    for key, operation in drawn.writes.items()
                ],
                locks=[(mode if key >= 0 else 4, KEYS[key] if key >= 0 else TABLES[key]) for mode, key in drawn.locks],
                catalog_entry=drawn.entry,
                follows_catalog_version=CatalogVersion(follows),
                invalidates_running=drawn.invalidates,
                dropped=[Relfilenode(each) for each in drawn.dropped],
            )
        )

    def decide(self, requests: list[Any]) -> None:
        reference, production = self._lives
        expected, decision = reference.decide(self._now, requests), production.decide(self._now, requests)
        assert list(map(_blurred, decision.answers)) == list(map(_blurred, expected.answers))
        assert decision.has_records == expected.has_records
        if expected.has_records:
            for each in (expected, decision):
                each.seal(self._position, EPOCH)
            batch = expected.batch
            assert decision.batch == batch
            self._journal += decode_batch(batch).records
            self._position = Position(self._position + len(batch))
        assert production.confirm(decision) == reference.confirm(expected)
        for request, answer in zip(requests, expected.answers, strict=True):
            if type(request) is TransactionRecord and isinstance(answer, Committed):
                self._commits.append(answer.timestamp)
        self.answers += expected.answers

    def compare(self) -> None:
        reference, production = self._lives
        assert production.published == reference.published
        assert production.lease_start == reference.lease_start
        assert production.window_bytes == reference.window_bytes
        assert production.core.window_floor == reference.window_floor
        assert production.outcomes_since == reference.outcomes_since
        assert production.has_memories == reference.has_memories
        assert production.checkpoint(self._position) == reference.checkpoint(self._position)

    # Restarts

    def _restart(self, back: int) -> None:
        before = self._lives.reference.checkpoint(self._position)
        # A checkpoint in the journal, to be checked against when a recovery begins before it, and to begin one with.
        self._journal.append(
            JournalRecord(
                RecordKind.CHECKPOINT, before.last_timestamp, before.catalog_version, encode_checkpoint(before)
            )
        )
        self._lives = self._recover(back)
        self._checkpoints.append((before, len(self._journal)))
        self.compare()
        after = self._lives.reference.checkpoint(self._position)
        assert after._replace(reservations=[]) == before._replace(reservations=[])
        self._begin_lease()

    def _recover(self, back: int) -> Lives:
        checkpoint, journal_from = self._checkpoints[max(0, len(self._checkpoints) - 1 - back)]
        lives = Lives(ReferenceAdjudicator(checkpoint, self._limits), Adjudicator(checkpoint, self._limits))
        for life in lives:
            for record in self._journal[journal_from:]:
                life.replay(record)
        return lives

    def _begin_lease(self) -> None:
        records = [life.lease_record(self._now) for life in self._lives]
        assert records[0] == records[1]
        self._journal.append(records[0])
        for life in self._lives:
            life.begin_lease(records[0])
        self._commits.append(records[0].timestamp)


def _blurred(answer: Answer) -> Answer:
    """Which one of several keys in conflict is named is left open."""
    if isinstance(answer, Refused):
        return answer._replace(text=re.sub(r"relfilenode \d+", "a relfilenode", answer.text))
    return answer


@given(st.sampled_from(LIMITS), st.lists(STEPS, max_size=25))
def test_any_history(limits: AdjudicatorLimits, steps: list[Step]) -> None:
    history = History(limits)
    for step in steps:
        history.take(step)


@pytest.mark.parametrize("limits", LIMITS, ids=range(len(LIMITS)))
def test_a_long_history(limits: AdjudicatorLimits) -> None:
    """And one that shows every kind of answer, or it would compare little."""
    history = long_history(limits)
    kinds = {_kind(answer) for answer in history.answers}
    expected = {Committed, OutcomeUnknown, SequenceGrant, Reason.DATA_CONFLICT, Reason.SCHEMA_CONFLICT}
    expected |= {Reason.FORGOTTEN, Reason.MALFORMED, Reason.TOO_OLD}
    assert expected <= kinds | ({OutcomeUnknown, Reason.TOO_OLD} if limits == AdjudicatorLimits() else set())


def _kind(answer: Answer) -> object:
    return answer.reason if isinstance(answer, Refused) else type(answer)


def long_history(limits: AdjudicatorLimits) -> History:
    history = History(limits)
    for step in random_steps(Random(20), 3000):
        history.take(step)
    return history


def random_steps(random: Random, count: int) -> Iterator[Step]:
    def again() -> int:
        return random.randint(1, AGAIN_MAX) if random.random() < 0.2 else 0

    def read() -> int:
        return random.randint(0, 3) if random.random() < 0.8 else random.randint(-1, 40)

    def advance() -> int:
        if random.random() < 0.02:
            return random.choice([NANOSECONDS_PER_SECOND, 5 * NANOSECONDS_PER_SECOND, -3 * NANOSECONDS_PER_SECOND])
        return random.randint(-20, 60)

    def request() -> Transaction | Ask | Call:
        draw = random.random()
        if draw < 0.15:
            return Ask(again(), read())
        if draw < 0.3:
            return Call(random.randint(1, 3), random.choice(list(SequenceOperation)), random.randint(1, 50))
        return Transaction(
            again=again(),
            read=read(),
            writes={random.randrange(len(KEYS)): random.randint(1, 6) for _ in range(random.randint(0, 3))},
            locks=[(random.randint(1, 4), random.randint(-2, len(KEYS) - 1)) for _ in range(random.randint(0, 2))],
            schema_behind=int(random.random() < 0.05),
            entry=b"entry" if random.random() < 0.1 else b"",
            follows_behind=int(random.random() < 0.2),
            invalidates=random.random() < 0.3,
            dropped=[random.randint(1, 3)] if random.random() < 0.05 else [],
        )

    for _ in range(count):
        draw = random.random()
        if draw < 0.01:
            yield Restart(random.randint(0, 2))
        elif draw < 0.1:
            yield Forget(advance(), read())
        elif draw < 0.15:
            yield GiveUp(again(), read())
        else:
            yield Group(advance(), [request() for _ in range(random.randint(0, 5))])


def test_many_keys_and_long_ones() -> None:
    """More than fit into the first table and the first piece of memory of a generation, several times over."""
    random = Random(5)
    keys = [b"\x10\0\0\0\1" + random.randbytes(random.choice((1, 8, 40, 1957))) for _ in range(4_000)]
    history = History(AdjudicatorLimits(WindowLimits(3_000_000, 1_000_000)))
    for group in range(20):
        records = []
        for number in range(30):
            writes = [(random.randint(1, 3), key, b"v") for key in dict.fromkeys(random.choices(keys, k=40))]
            locks = [(random.randint(1, 4), key) for key in random.choices(keys, k=4)]
            identifier, read = transaction_id(30 * group + number), history.timestamp(random.randint(0, 50))
            records.append(TransactionRecord(encode_transaction(identifier, read, writes=writes, locks=locks)))
        history.decide(records)
        history.compare()
    assert {_kind(answer) for answer in history.answers} >= {Committed, Reason.DATA_CONFLICT, Reason.FORGOTTEN}

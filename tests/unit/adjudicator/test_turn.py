"""Turns of the transaction service in C: real sockets to the desk and to followers, real files, a real page."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from borealis.adjudicator.adjudicator import Adjudicator
from borealis.adjudicator.desk import CommitDesk, TurnEnd
from borealis.adjudicator.effects import LocalEffects
from borealis.adjudicator.library import TurnLimits
from borealis.adjudicator.service import ServiceLimits, TransactionService
from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import Epoch, Position, Relfilenode, SchemaVersion, Timestamp, TransactionId
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.journal.disk import LocalDisk
from borealis.journal.reading import read_batches
from borealis.wire.commit_messages import (
    CommitFrame,
    Committed,
    HelloAnswer,
    OutcomeQuery,
    Refused,
    encode_outcome_query,
)
from borealis.wire.frames import FRAME_HEADER
from borealis.wire.journal_batch import decode_batch, decode_batch_header
from borealis.wire.journal_messages import JournalFrame
from borealis.wire.transaction_record import encode_transaction
from simulation.effects import VirtualEffects
from tests.unit.adjudicator.desk_driving import GREETING, LIMITS, Peer
from tests.unit.adjudicator.driving import LEASE, transaction

SEGMENT_BYTES = 2**20
EASY = TurnLimits(2**23, 2**30, 16)


class Turning:
    """A service that has its lease, a desk, and the effects of this machine."""

    def __init__(self, folder: Path) -> None:
        self.zones = [folder / "zone-1", folder / "zone-2"]
        self.page = SharedPage.own(folder / "transactions.page", TRANSACTIONS_MAGIC)
        self.effects = LocalEffects(self.page)
        self.service = TransactionService(
            LocalDisk(), self.zones, self.effects, ServiceLimits(segment_bytes=SEGMENT_BYTES)
        )
        self.service.take_lease(LEASE, 1)
        self.desk = CommitDesk(self.service.adjudicator.core, LIMITS)
        self._sockets: list[socket.socket] = []

    def connect(self) -> Peer:
        ours, theirs = socket.socketpair()
        self.desk.adopt(ours)
        self._sockets.append(theirs)
        peer = Peer(theirs)
        peer.post_raw(GREETING)
        self.desk.receive(LEASE)
        assert isinstance(peer.answer(), HelloAnswer)
        return peer

    def follow(self, buffer_bytes: int = 2**18) -> tuple[socket.socket, int]:
        """A follower's end, and the descriptor at this one."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        theirs.setblocking(False)
        self._sockets += [ours, theirs]
        self.effects.follow(ours.fileno())
        return theirs, ours.fileno()

    @property
    def acknowledged(self) -> Timestamp:
        return Timestamp(self.page.load(TransactionsWord.ACKNOWLEDGED))

    @property
    def end(self) -> Position:
        return self.service.journal.end

    def record(self, key: bytes, value: bytes = b"v", **arguments: object) -> bytes:
        writes = [(1, b"\x10\0\0\0\1" + key, value)]
        identifier = TransactionId(key.ljust(16, b"\0"))
        return encode_transaction(identifier, self.acknowledged, SchemaVersion(0), writes=writes, **arguments)  # type: ignore[arg-type]

    def turn(self, limits: TurnLimits = EASY, applied: Position | None = None) -> TurnEnd:
        return self.desk.turn(self.effects, limits, self.end if applied is None else applied, self.service.epoch)

    def journal_bytes(self, start: Position) -> bytes:
        found = read_batches(self.service.journal_view, start)
        return b"" if found is None else found.data

    def close(self) -> None:
        self.desk.close()
        for each in self._sockets:
            each.close()
        self.service.close()
        self.effects.close()
        self.page.close()


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[Turning]:
    made = Turning(tmp_path)
    yield made
    made.close()


def frames(data: bytes) -> bytes:
    """What a follower gets of these batches."""
    found, offset = b"", 0
    while offset < len(data):
        length = decode_batch_header(data, offset).length
        found += FRAME_HEADER.pack(length, JournalFrame.BATCH, 0, 0, 0) + data[offset : offset + length]
        offset += length
    return found


def take(end: socket.socket) -> bytes:
    """All that has come."""
    found = b""
    try:
        while data := end.recv(2**16):
            found += data
    except BlockingIOError:
        pass
    return found


def test_what_is_answered_is_durable_published_and_fed(turning: Turning) -> None:
    peers = [turning.connect() for _ in range(3)]
    follower, _ = turning.follow()
    start = turning.end
    for number, peer in enumerate(peers):
        peer.post(CommitFrame.COMMIT, turning.record(b"key %d" % number))
    assert turning.turn() is TurnEnd.DONE
    answers = [peer.answer() for peer in peers]
    timestamps = [answer.timestamp for answer in answers if isinstance(answer, Committed)]
    assert len(timestamps) == 3
    assert turning.acknowledged == max(timestamps)
    assert turning.service.adjudicator.published.acknowledged == turning.acknowledged
    data = turning.journal_bytes(start)
    assert start + len(data) == turning.end
    assert [record.timestamp for record in decode_batch(data).records] == sorted(timestamps)
    assert take(follower) == frames(data)
    names = [segment.name for segment in turning.service.journal.segments]
    contents = [[(zone / name).read_bytes() for name in names] for zone in turning.zones]
    assert contents[0] == contents[1]
    assert data in contents[0][-1]


def test_groups_follow_one_another_until_others_have_their_turn(turning: Turning) -> None:
    peers = [turning.connect() for _ in range(4)]
    start = turning.end
    for number, peer in enumerate(peers):
        peer.post(CommitFrame.COMMIT, turning.record(b"%d" % number))
    one_by_one = TurnLimits(1, 2**30, 3)
    assert turning.turn(one_by_one) is TurnEnd.LONG
    assert sum(bool(peer.frames()) for peer in peers) == 3
    assert turning.desk.queued == 1
    assert turning.turn(one_by_one) is TurnEnd.DONE
    assert frames(turning.journal_bytes(start)).count(b"BRJB") == 4


def test_a_question_ends_the_turn_and_nothing_is_decided(turning: Turning) -> None:
    asks, commits = turning.connect(), turning.connect()
    query = OutcomeQuery(TransactionId(bytes(16)), turning.acknowledged)
    asks.post(CommitFrame.OUTCOME, encode_outcome_query(query))
    commits.post(CommitFrame.COMMIT, turning.record(b"k"))
    start = turning.end
    assert turning.turn() is TurnEnd.EVENTS
    assert [question.request for question in turning.desk.take_events()] == [query]
    assert turning.desk.queued == 1
    assert turning.end == start
    assert not commits.frames()


def test_whoever_breaks_a_rule_ends_the_turn_with_an_event(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    turning.connect().post(CommitFrame.COMMIT, b"garbage")
    assert turning.turn() is TurnEnd.EVENTS
    assert turning.desk.take_events() == []
    assert "a connection is closed" in caplog.text


def test_storage_that_is_behind_holds_transactions(turning: Turning) -> None:
    peer = turning.connect()
    peer.post(CommitFrame.COMMIT, turning.record(b"k"))
    lag = TurnLimits(2**23, 100, 16)
    assert turning.turn(lag, Position(turning.end - 101)) is TurnEnd.BEHIND
    assert (turning.desk.queued, peer.frames()) == (1, [])
    assert turning.turn(lag, Position(turning.end - 100)) is TurnEnd.DONE
    assert isinstance(peer.answer(), Committed)


def test_a_group_that_needs_a_segment_is_not_decided(turning: Turning) -> None:
    peer = turning.connect()
    record = turning.record(b"k", bytes(SEGMENT_BYTES // 2))
    peer.post_some(FRAME_HEADER.pack(len(record), CommitFrame.COMMIT, 0, 0, 1))
    sent = memoryview(record)
    while sent:
        sent = sent[peer.post_some(sent) :]
        assert turning.turn() is TurnEnd.DONE
    assert isinstance(peer.answer(), Committed)
    before = (turning.end, turning.acknowledged)
    sent = memoryview(FRAME_HEADER.pack(len(record), CommitFrame.COMMIT, 0, 0, 2) + turning.record(b"l", bytes(2**19)))
    ends = []
    while sent:
        sent = sent[peer.post_some(sent) :]
        ends.append(turning.turn())
    assert ends[-1] is TurnEnd.ROOM
    assert (turning.end, turning.acknowledged) == before
    assert turning.desk.queued == 1


def test_a_group_that_drops_relations_is_completed_by_the_caller(turning: Turning) -> None:
    peer = turning.connect()
    record = encode_transaction(
        TransactionId(bytes(16)), turning.acknowledged, catalog_entry=b"entry", dropped=[Relfilenode(7)]
    )
    peer.post(CommitFrame.COMMIT, record)
    before = (turning.end, turning.acknowledged)
    assert turning.turn() is TurnEnd.DROPPED
    assert (turning.end, turning.acknowledged) == before
    assert turning.service.adjudicator.core.dropped == [7]
    assert not peer.frames()
    turning.service.complete()
    turning.desk.answer()
    answer = peer.answer()
    assert isinstance(answer, Committed)
    assert turning.acknowledged == answer.timestamp
    assert turning.page.load(TransactionsWord.CATALOG_VERSION) == 1
    assert turning.end > before[0]


def test_what_is_refused_leaves_no_trace_in_the_journal(turning: Turning) -> None:
    peer = turning.connect()
    peer.post(CommitFrame.COMMIT, encode_transaction(TransactionId(bytes(16)), Timestamp(LEASE - 1), writes=[]))
    before = (turning.end, turning.acknowledged)
    assert turning.turn() is TurnEnd.DONE
    assert isinstance(peer.answer(), Refused)
    assert (turning.end, turning.acknowledged) == before


def test_a_journal_that_cannot_be_written_ends_everything_before_anybody_learns(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = turning.connect()
    follower, _ = turning.follow()
    before = turning.acknowledged
    with (turning.zones[0] / "read-only").open("x+b") as made, Path(made.name).open("rb") as read_only:
        monkeypatch.setattr(
            type(turning.service.journal.files[0]), "descriptor", property(lambda _: read_only.fileno())
        )
        turning.effects.attach(turning.service.journal)
        peer.post(CommitFrame.COMMIT, turning.record(b"k"))
        with pytest.raises(InvariantViolation, match="the journal cannot be written: Bad file descriptor"):
            turning.turn()
    assert turning.acknowledged == turning.service.adjudicator.published.acknowledged == before
    assert (peer.frames(), take(follower)) == ([], b"")


@pytest.mark.parametrize("value_bytes", [10, 5_000, 60_000, 70_000])
def test_a_follower_that_falls_behind_goes_on_where_it_was_left(turning: Turning, value_bytes: int) -> None:
    peer = turning.connect()
    slow, descriptor = turning.follow(buffer_bytes=4096)
    quick, _ = turning.follow(buffer_bytes=2**20)
    start, came = turning.end, b""
    fallen = []
    for number in range(500):
        peer.post(CommitFrame.COMMIT, turning.record(b"%d" % number, bytes(value_bytes)))
        end = turning.turn()
        peer.frames()
        came += take(quick)
        fallen += turning.effects.take_fallen()
        assert end is (TurnEnd.LONG if fallen else TurnEnd.DONE)
        if any(each.descriptor == descriptor for each in fallen):
            break
    ((_, position, sent),) = [each for each in fallen if each.descriptor == descriptor]
    taken = take(slow)
    kept_up = frames(turning.journal_bytes(start)[: position - start])
    rest = frames(turning.journal_bytes(position))
    assert taken == kept_up + rest[:sent]
    assert sent < len(rest)
    # A large batch fills sockets: it is everybody's to read from the file.
    assert came == (b"" if value_bytes > 65_536 else kept_up + rest)
    assert turning.effects.take_fallen() == ()


def test_a_follower_that_is_gone_is_not_fed(turning: Turning) -> None:
    peer = turning.connect()
    gone, left = turning.follow(), turning.follow()
    closed = turning.follow()
    closed[0].close()
    turning.effects.unfollow(gone[1])
    peer.post(CommitFrame.COMMIT, turning.record(b"k"))
    start = turning.end
    assert turning.turn() is TurnEnd.LONG
    assert take(gone[0]) == b""
    assert take(left[0]) == frames(turning.journal_bytes(start))
    assert [each.descriptor for each in turning.effects.take_fallen()] == [closed[1]]


# The order of the steps


class Recorder(VirtualEffects):
    def __init__(self, adjudicator: Adjudicator, failing: str) -> None:
        super().__init__(lambda *_: self.note("publish"), lambda: self.note("feed"))
        self.steps: list[tuple[str, bool]] = []
        """Each with whether the group had been confirmed by then."""
        self._before = adjudicator.published
        self._adjudicator = adjudicator
        self._failing = failing

    def note(self, step: str) -> None:
        if step == self._failing:
            raise KeyboardInterrupt(step)
        self.steps.append((step, self._adjudicator.published != self._before))

    def _persist(self, *_: object) -> int:
        return self._try(lambda: self.note("persist"))


@pytest.mark.parametrize(
    ("failing", "steps"),
    [
        ("", [("persist", False), ("publish", True), ("feed", True)]),
        ("persist", []),
        ("publish", [("persist", False)]),
        ("feed", [("persist", False), ("publish", True)]),
    ],
)
def test_a_group_is_made_durable_before_it_is_published_and_fed(failing: str, steps: list[tuple[str, bool]]) -> None:
    adjudicator = Adjudicator()
    adjudicator.begin_lease(adjudicator.lease_record(LEASE))
    decision = adjudicator.decide(LEASE, [transaction(1, LEASE, insert=["a"])])
    decision.seal(Position(0), Epoch(1))
    effects = Recorder(adjudicator, failing)
    before = adjudicator.published
    if failing:
        with pytest.raises(KeyboardInterrupt, match=failing):
            adjudicator.complete(effects, decision)
    else:
        adjudicator.complete(effects, decision)
    assert effects.steps == steps
    assert (adjudicator.published == before) == (failing == "persist")


def test_a_group_without_a_batch_has_no_effects() -> None:
    adjudicator = Adjudicator()
    adjudicator.begin_lease(adjudicator.lease_record(LEASE))
    decision = adjudicator.decide(LEASE, [transaction(1, LEASE - 1, insert=["a"])])
    effects = Recorder(adjudicator, "")
    adjudicator.complete(effects, decision)
    assert effects.steps == []

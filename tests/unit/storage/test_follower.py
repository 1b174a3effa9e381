"""What the C library does with the journal is what the logic in Python does: the same map, the same refusals."""

import errno
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import NO_TIMESTAMP, Position, Relfilenode, Timestamp
from borealis.storage.apply import Progress
from borealis.storage.collector import CollectionQueue
from borealis.storage.follower import Event, Follower
from borealis.storage.lmdb_map import LmdbMap
from borealis.storage.ordered_map import MemoryMap, OutOfRoom, Table
from borealis.storage.replica import Replica
from borealis.storage.settings import MEBIBYTE, StorageSettings
from borealis.storage.stored_key import key_of, timestamp_of
from borealis.wire.frames import FrameReader, encode_frame
from borealis.wire.journal_batch import RecordKind
from borealis.wire.journal_messages import FOLLOWER_LIMITS, Applied, JournalFrame, decode_applied
from borealis.wire.transaction_record import Operation
from tests.examples import examples
from tests.unit.storage.journals import ENTRIES, ROWS, JournalBuilder, Transaction, journals, without_shrinking
from tests.unit.storage.maps import SMALL, contents, open_lmdb
from tests.unit.storage.versions import KEYS, as_stored, versions, visible

SETTINGS = replace(SMALL, sweep_entries=3, collect_keys_min=2, collect_keys_max=50)
NEVER = 2**63 - 1


class Followed:
    """A map that is followed, and the replica for what the follower leaves to it: the server without its shell."""

    def __init__(self, ordered_map: LmdbMap, settings: StorageSettings) -> None:
        self.map = ordered_map
        self.follower = Follower(ordered_map, None, settings)
        self.replica = Replica(ordered_map, settings, publishes_all_sizes=False, queue=self.follower.queue)
        self.follower.moved(self.replica.progress, self.replica.collected_horizon)
        self.handed_out = 0

    def feed(self, data: bytes) -> None:
        event = self.follower.feed(data)
        while event is Event.FRAME:
            self.catch_up()
            frame = self.follower.next_frame()
            assert frame is not None
            self.handed_out += 1
            plan = self.replica.plan([frame.payload])
            if plan.after != plan.before:
                for _ in self.replica.write(plan):
                    pass
            self.follower.moved(self.replica.progress, self.replica.collected_horizon)
            event = self.follower.feed(b"")
        assert event is None
        self.catch_up()

    def catch_up(self) -> None:
        self.replica.catch_up(self.follower.progress, Timestamp(self.follower.state.collected_horizon))


@contextmanager
def followed(settings: StorageSettings = SETTINGS) -> Iterator[Followed]:
    with open_lmdb(settings) as ordered_map:
        it = Followed(ordered_map, settings)
        yield it
        it.follower.close()


def as_frames(*batches: bytes) -> bytes:
    return b"".join(encode_frame(JournalFrame.BATCH, 0, batch) for batch in batches)


def build(batches: list[list[Transaction]]) -> JournalBuilder:
    journal = JournalBuilder()
    journal.next_segment()
    for batch in batches:
        journal.add(batch)
    return journal


def apply(replica: Replica, *payloads: bytes) -> None:
    plan = replica.plan(payloads)
    if plan.after != plan.before:
        for _ in replica.write(plan):
            pass


@settings(deadline=None)
@given(journals, st.sampled_from([0, 150, 1 << 20]), st.integers(1, 20), st.data())
def test_the_same_map_however_the_stream_is_cut(
    batches: list[list[Transaction]], giant_bytes: int, writes_max: int, data: st.DataObject
) -> None:
    journal, model_map = build([[without_shrinking(one) for one in batch] for batch in batches]), MemoryMap()
    chosen = replace(SETTINGS, giant_bytes=giant_bytes, plan_writes_max=writes_max)
    model = Replica(model_map, chosen, publishes_all_sizes=False)
    stream = as_frames(*journal.batches)
    with followed(chosen) as it:
        at = 0
        while at < len(stream):
            size = data.draw(st.integers(1, len(stream) - at))
            it.feed(stream[at : at + size])
            at += size
        for batch in journal.batches:
            apply(model, batch)
        assert it.replica.progress == model.progress
        check_same_but_for_published_sizes(it, model, model_map)
        it.feed(stream)
        assert it.replica.progress == model.progress


def check_same_but_for_published_sizes(it: Followed, model: Replica, model_map: MemoryMap) -> None:
    """Which sizes are published in between depends on how batches are grouped; they are the same once all are."""
    it.replica.publish_sizes(it.follower.take_unpublished())
    model.publish_sizes()
    assert contents(it.map) == model_map.tables


@settings(deadline=None)
@given(journals, st.lists(st.tuples(st.integers(0, 200), st.integers(1, 6)), max_size=8))
def test_the_same_is_collected(batches: list[list[Transaction]], slices: list[tuple[int, int]]) -> None:
    """Slice by slice, in between batches."""
    journal, model_map = build(batches), MemoryMap()
    model = Replica(model_map, SETTINGS, publishes_all_sizes=False)
    with followed() as it:
        for number, batch in enumerate(journal.batches):
            it.feed(as_frames(batch))
            apply(model, batch)
            for horizon, limit in slices[number : number + 1]:
                bound = Timestamp(min(horizon, model.progress.timestamp))
                if not bound:
                    continue
                model.collect(bound, limit)
                it.replica.collect(bound, limit)
                it.follower.moved(it.replica.progress, it.replica.collected_horizon)
            check_same_but_for_published_sizes(it, model, model_map)
            assert len(it.follower.queue) == len(model.collector.queue)
        bound = Timestamp(model.progress.timestamp)
        for _ in range(30):
            model.collect(bound, 2)
            it.replica.collect(bound, 2)
            assert contents(it.map) == model_map.tables


def with_checksum(batch: bytes) -> bytes:
    return batch[:4] + struct.pack("<I", crc32(batch[8:])) + batch[8:]


@settings(deadline=None, max_examples=examples(300))
@given(
    journals.filter(lambda batches: any(transaction.writes for batch in batches for transaction in batch)),
    st.integers(0, 2**16),
    st.one_of(st.sampled_from([0, 1, 5, 0x7F, 0xFF]), st.integers(0, 255)),
    st.integers(0, 2**16),
    st.booleans(),
)
def test_hostile_bytes_are_refused_as_in_python(
    batches: list[list[Transaction]], place: int, value: int, number: int, is_checksum_right: bool
) -> None:
    """Bytes of a batch are changed. Who takes it takes the same; the library leaves every refusal to Python."""
    journal = build(batches)
    number %= len(journal.batches)
    damaged = bytearray(journal.batches[number])
    damaged[place % len(damaged)] = value
    batch = with_checksum(bytes(damaged)) if is_checksum_right else bytes(damaged)
    model_map = MemoryMap()
    model = Replica(model_map, SETTINGS, publishes_all_sizes=False)
    with followed() as it:
        for intact in journal.batches[:number]:
            it.feed(as_frames(intact))
            apply(model, intact)
        refused = refusal(lambda: it.feed(as_frames(batch)))
        assert refused == refusal(lambda: apply(model, batch))
        if refused is None:
            check_same_but_for_published_sizes(it, model, model_map)


def refusal(action: object) -> str | None:
    try:
        action()
    except (InvariantViolation, ArithmeticError, struct.error) as error:
        return str(error)
    return None


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_nonsense_in_the_stream_is_refused_as_in_python(nonsense: bytes, is_batch: bool) -> None:
    data = encode_frame(JournalFrame.BATCH, 0, nonsense) if is_batch else nonsense
    limits = {JournalFrame.BATCH: SETTINGS.frame_bytes_max, JournalFrame.GONE: 8, JournalFrame.ERROR: 1 << 16}
    expected = None
    try:
        frames = FrameReader(limits).feed(data)
    except Exception:
        expected = Event.BROKEN
    else:
        expected = Event.FRAME if frames else None
    with followed() as it:
        assert it.follower.feed(data) == expected


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (struct.pack("<IBBHQ", 8, JournalFrame.BATCH, 1, 0, 0), "reserved bytes"),
        (struct.pack("<IBBHQ", 8, 9, 0, 0, 0), "not known"),
        (struct.pack("<IBBHQ", 9, JournalFrame.GONE, 0, 0, 0), "over its limit"),
    ],
)
def test_a_broken_rule_is_named(header: bytes, text: str) -> None:
    with followed() as it:
        assert it.follower.feed(header) is Event.BROKEN
        assert text in str(it.follower.broken_rule())


def test_what_is_plain_is_not_handed_out() -> None:
    journal = JournalBuilder()
    first = journal.next_segment()
    plain = [
        journal.add([Transaction(((Operation.INSERT, ROWS[0], b"value"),), deltas=((1, 1, 5),))]),
        journal.append_raw(RecordKind.EPOCH, b""),
        journal.append_raw(RecordKind.SEQUENCES, struct.pack("<IIq", 5, 1, 100)),
        journal.add([Transaction(((Operation.UPDATE, ROWS[0], b"v"), (Operation.PUT_UNCHECKED, ENTRIES[0], b"e")))]),
    ]
    others = [
        journal.add([Transaction(catalog_entry=b"create table")]),
        journal.add([Transaction(dropped=(1,))]),
        journal.add([Transaction(((Operation.INSERT, ROWS[1], b"giant" * 200),))]),
        journal.next_segment(),
    ]
    with followed(replace(SETTINGS, giant_bytes=1_000)) as it:
        it.feed(as_frames(first, *plain))
        assert it.handed_out == 1
        assert it.follower.state.plain_batches == len(plain)
        it.feed(as_frames(*others))
        assert it.handed_out == 1 + len(others)
        assert it.follower.state.plain_batches == len(plain)
        assert it.replica.progress.position == journal.position


def test_without_room_nothing_is_left_behind() -> None:
    journal = JournalBuilder()
    first = journal.next_segment()
    small = journal.add([Transaction(((Operation.INSERT, ROWS[0], b"value"),))])
    large = journal.add([Transaction(((Operation.INSERT, ROWS[1], bytes(2 * MEBIBYTE)),))])
    behind = journal.add([Transaction(((Operation.INSERT, ROWS[2], b"behind"),))])
    with followed(replace(SETTINGS, map_bytes_max=MEBIBYTE)) as it:
        it.feed(as_frames(first, small))
        before = contents(it.map)
        with pytest.raises(OutOfRoom):
            it.feed(as_frames(large, behind))
        assert contents(it.map) == before
        assert it.follower.progress.position == it.replica.progress.position < journal.position


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 3)), max_size=40),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 6),
    st.integers(1, 6),
    versions,
)
def test_the_queue_hands_out_the_same(
    overwrites: list[tuple[bytes, int]],
    limit: int,
    delay: int,
    keys_max: int,
    busy_overwrites: int,
    entries: dict[tuple[bytes, int], bytes],
) -> None:
    model, model_map = CollectionQueue(keys_max, busy_overwrites), MemoryMap({Table.VERSIONS: as_stored(entries)})
    with followed(replace(SETTINGS, collect_queue_max=keys_max, collect_busy_overwrites=busy_overwrites)) as it:
        queue = it.follower.queue
        with it.map.write() as writer:
            writer.put(Table.VERSIONS, sorted(as_stored(entries).items()))
        now = 10
        for key, step in [*overwrites, (KEYS[0], 5)]:
            now += step
            horizon, settled = Timestamp(now - 2), Timestamp(now - 2 - delay)
            for each in (queue, model):
                each.add([(Timestamp(now), key)])
                assert each.is_ready(Timestamp(now))
                each.collect(it.map if each is queue else model_map, horizon, settled, limit)
            assert len(queue) == len(model)
            assert queue.is_incomplete == model.is_incomplete
            assert queue.is_ready(Timestamp(now - 1)) == model.is_ready(Timestamp(now - 1))
            assert contents(it.map)[Table.VERSIONS] == model_map.tables[Table.VERSIONS]
        queue.is_incomplete = False
        assert not queue.is_incomplete


class Connection:
    """A service's end of a socket, and the follower's."""

    def __init__(self, follower: Follower) -> None:
        self.service, self._socket = socket.socketpair()
        self.wake_sender, self.wake_receiver = socket.socketpair()
        self._reader = FrameReader(FOLLOWER_LIMITS)
        self._follower = follower
        follower.connect(self._socket.fileno())

    def follow(self) -> Event:
        """Until what has arrived is dealt with."""
        self.wake_sender.send(b"w")
        event = self._follower.follow(self.wake_receiver.fileno(), True, NEVER, NEVER)
        if event is Event.WAKE:
            self.wake_receiver.recv(10)
        return event

    def reports(self) -> list[Applied]:
        found = []
        while select.select([self.service], [], [], 0)[0] and (data := self.service.recv(1 << 16)):
            found += [decode_applied(frame.payload) for frame in self._reader.feed(data)]
        return found

    def close(self) -> None:
        for each in (self.service, self._socket, self.wake_sender, self.wake_receiver):
            each.close()


def small_batches(count: int) -> tuple[bytes, list[bytes], JournalBuilder]:
    journal = JournalBuilder()
    first = journal.next_segment()
    batches = [journal.add([Transaction(((Operation.UPDATE, ROWS[0], b"%d" % number),))]) for number in range(count)]
    return first, batches, journal


def test_reports_are_shared_until_they_are_due() -> None:
    first, batches, journal = small_batches(3)
    with followed(replace(SETTINGS, report_delay_ns=3_600 * 10**9, report_bytes=len(batches[0]) * 2)) as it:
        it.feed(as_frames(first))
        connection = Connection(it.follower)
        assert it.follower.report() == 0
        assert connection.reports() == [Applied(it.follower.progress.position, it.follower.progress.timestamp)]
        connection.service.send(as_frames(batches[0]))
        assert connection.follow() is Event.WAKE
        assert connection.reports() == []
        connection.service.send(as_frames(batches[1]))
        assert connection.follow() is Event.WAKE
        end = Position(journal.ends[2])
        assert [report.position for report in connection.reports()] == [end]
        connection.close()


def test_a_report_that_waited_long_enough_goes_out() -> None:
    first, batches, journal = small_batches(1)
    with followed(replace(SETTINGS, report_delay_ns=0)) as it:
        it.feed(as_frames(first))
        connection = Connection(it.follower)
        connection.service.send(as_frames(*batches))
        assert connection.follow() is Event.WAKE
        assert connection.reports() == [Applied(Position(journal.position), Timestamp(journal.timestamp))]
        connection.close()


def large_row(number: int) -> bytes:
    return ROWS[0][:-1] + bytes([100 + number])


class Wide(NamedTuple):
    """Rows with two versions to a leaf, so that little lies beside what is written, and a socket to write them."""

    it: Followed
    connection: Connection
    journal: JournalBuilder

    def write(self, *rows: int) -> None:
        written = [self.journal.add([Transaction(((Operation.UPDATE, large_row(row), bytes(1_500)),))]) for row in rows]
        self.connection.service.send(as_frames(*written))
        assert self.connection.follow() is Event.WAKE

    def versions(self, row: int) -> int:
        return sum(key_of(stored) == large_row(row) for stored in contents(self.it.map)[Table.VERSIONS])

    def collect_up_to(self, horizon: int) -> None:
        self.it.follower.state.collect_up_to = horizon


@contextmanager
def wide(settings: StorageSettings) -> Iterator[Wide]:
    journal = JournalBuilder()
    with followed(settings) as it:
        it.feed(as_frames(journal.next_segment()))
        connection = Connection(it.follower)
        try:
            yield Wide(it, connection, journal)
        finally:
            connection.close()


def updates(*rows: int) -> tuple[list[bytes], JournalBuilder]:
    """A batch for each, after a first one."""
    journal = JournalBuilder()
    first = journal.next_segment()
    return [first, *(journal.add([Transaction(((Operation.UPDATE, ROWS[row], b"v"),))]) for row in rows)], journal


def test_what_lies_beside_a_write_goes_with_it() -> None:
    """Nothing else is written for it, and nothing goes that a reader may need."""
    batches, journal = updates(0, *[1] * 20)
    with followed() as it:
        it.feed(as_frames(*batches[:-2]))
        horizon = journal.timestamp - 60
        it.follower.state.collect_up_to = horizon
        it.feed(as_frames(batches[-2]))
        kept = [timestamp_of(stored) for stored in sorted(contents(it.map)[Table.VERSIONS])[1:]]
        assert kept == list(range(horizon + 50, horizon - 10, -10))
        assert contents(it.map)[Table.META][b"horizon"] == horizon.to_bytes(8, "little")
        assert it.follower.state.collected_horizon == horizon
        it.follower.state.collect_up_to = NO_TIMESTAMP
        it.feed(as_frames(batches[-1]))
        assert len(contents(it.map)[Table.VERSIONS]) == 8


def test_a_key_that_was_cleaned_waits_no_longer() -> None:
    batches, journal = updates(0, 1, 2, 3, 0, 1, 2, 3, 1)
    with followed() as it:
        it.feed(as_frames(*batches[:-1]))
        assert len(it.follower.queue) == 4
        it.follower.state.collect_up_to = journal.timestamp - 10
        it.feed(as_frames(batches[-1]))
        # One of them was written over again, and of the first and the last in the leaf others might lie elsewhere.
        assert len(it.follower.queue) == 3
        assert len(contents(it.map)[Table.VERSIONS]) == 5


def test_keys_wait_for_a_write_beside_them() -> None:
    """For the delay, then for their place in a pass that takes as long again."""
    settings = replace(SETTINGS, collect_keys_min=2, collect_delay_ns=200)
    with wide(settings) as them:
        them.write(*range(10), *range(10))
        them.collect_up_to(them.journal.timestamp)
        them.write(50, 51)
        assert all(them.versions(row) == 2 for row in range(1, 10))
        waiting = []
        for number in range(60, 100, 2):
            them.collect_up_to(them.journal.timestamp)
            them.write(number, number + 1)
            waiting.append(sum(them.versions(row) == 2 for row in range(10)))
        assert waiting == sorted(waiting, reverse=True)
        assert len(set(waiting)) > 3
        assert waiting[-1] == 0


def test_a_busy_key_is_collected_at_once() -> None:
    settings = replace(SETTINGS, collect_keys_min=20, collect_busy_overwrites=9, collect_delay_ns=10**15)
    with wide(settings) as them:
        them.write(*[1, 2] * 5)
        them.collect_up_to(them.journal.timestamp)
        them.write(*[1, 3] * 4)
        assert them.versions(1) == 9
        them.write(*[3] * 2)
        assert them.versions(1) == 5
        assert them.it.follower.state.collected_horizon == them.journal.timestamp - 100


def test_a_crowded_queue_is_collected_as_fast_as_it_fills() -> None:
    """Two keys for each write, once there are enough writes, and not above the horizon."""
    settings = replace(SETTINGS, collect_keys_min=4, collect_queue_max=20, collect_delay_ns=10**15)
    with wide(settings) as them:
        rows = range(0, 60, 5)
        them.write(*rows, *rows, 61, 63, 65)
        them.collect_up_to(them.journal.timestamp - 30)
        assert [them.versions(row) for row in rows] == [2] * 12
        them.write(67)
        assert [them.versions(row) for row in rows] == [1] * 12
        assert len(them.it.follower.queue) == 4


large_journals = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 11), st.sampled_from([0, 0, 9, 700, 1_500, 3_000])),
            unique_by=lambda write: write[0],
            min_size=1,
            max_size=6,
        ),
        st.integers(0, 60),
    ),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(large_journals, st.integers(1, 6), st.integers(1, 4))
def test_readers_see_the_same_whatever_goes(
    transactions: list[tuple[list[tuple[int, int]], int]], busy_overwrites: int, limit: int
) -> None:
    """At and above every horizon; and once everything is collected, the map is what the reference has."""
    journal, model_map = JournalBuilder(), MemoryMap()
    chosen = replace(SETTINGS, collect_busy_overwrites=busy_overwrites)
    model = Replica(model_map, chosen, publishes_all_sizes=False)
    horizon = 0
    with followed(chosen) as it:
        for number, (writes, lag) in enumerate([([], 0), *transactions]):
            if number == 0:
                batch = journal.next_segment()
            else:
                batch = journal.add([Transaction(tuple(as_write(journal, row, size) for row, size in writes))])
            it.feed(as_frames(batch))
            apply(model, batch)
            stored = contents(it.map)[Table.VERSIONS]
            present = {(key_of(name), timestamp_of(name)): value for name, value in stored.items()}
            for timestamp in range(max(horizon, 100), journal.timestamp + 10, 10):
                assert visible(present, timestamp) == visible(journal.versions, timestamp)
            horizon = max(horizon, journal.timestamp - lag)
            it.follower.state.collect_up_to = horizon
            if len(present) < len(journal.versions):
                assert int.from_bytes(contents(it.map)[Table.META][b"horizon"], "little") <= horizon
        assert len(it.follower.queue) <= len(model.collector.queue)
        bound = Timestamp(journal.timestamp)
        it.replica.catch_up(it.follower.progress, Timestamp(it.follower.state.collected_horizon))
        for each in (it.replica, model):
            while not each.collect(bound, limit).is_idle:
                pass
        it.replica.publish_sizes(it.follower.take_unpublished())
        model.publish_sizes()
        assert contents(it.map) == model_map.tables


def as_write(journal: JournalBuilder, row: int, size: int) -> tuple[int, bytes, bytes]:
    """A row or index entry as a query processor would write it: nobody deletes what is not there."""
    key, is_row = large_row(row), row % 3 > 0
    is_known = any(known == key for known, _ in journal.versions)
    if size == 0 and is_known:
        return (int(Operation.DELETE if is_row else Operation.DELETE_UNCHECKED), key, b"")
    operation = (Operation.UPDATE if is_known else Operation.INSERT) if is_row else Operation.PUT_UNCHECKED
    return (int(operation), key, bytes([row + 1]) * max(size, 1))


def test_what_was_collected_is_remembered_with_it() -> None:
    first, batches, journal = small_batches(3)
    with followed() as it:
        it.feed(as_frames(first, *batches))
        it.follower.state.collect_up_to = journal.timestamp
        horizon = Timestamp(journal.timestamp)
        it.follower.queue.collect(it.map, horizon, horizon, 10)
        assert contents(it.map)[Table.META][b"horizon"] == journal.timestamp.to_bytes(8, "little")


def test_the_loop_comes_back_for_what_is_due() -> None:
    with followed() as it:
        connection = Connection(it.follower)
        now = time.monotonic_ns()
        wake = connection.wake_receiver.fileno()
        assert it.follower.follow(wake, True, now, NEVER) is Event.DUE
        assert it.follower.follow(wake, True, NEVER, now) is Event.IDLE_DUE
        assert it.follower.follow(wake, True, now, now) is Event.DUE
        assert it.follower.follow(wake, True, NEVER, time.monotonic_ns() + 10**6) is Event.IDLE_DUE
        connection.close()


def test_who_does_not_listen_leaves_batches_in_the_socket() -> None:
    first, batches, _ = small_batches(1)
    with followed() as it:
        it.feed(as_frames(first))
        before = it.follower.progress
        connection = Connection(it.follower)
        connection.service.send(as_frames(*batches))
        wake = connection.wake_receiver.fileno()
        assert it.follower.follow(wake, False, time.monotonic_ns(), NEVER) is Event.DUE
        assert it.follower.progress == before
        assert connection.follow() is Event.WAKE
        assert it.follower.progress != before
        connection.close()


def test_what_arrived_before_the_connection_was_lost_is_applied() -> None:
    first, batches, journal = small_batches(2)
    with followed() as it:
        it.feed(as_frames(first))
        connection = Connection(it.follower)
        connection.service.send(as_frames(*batches)[:-5])
        connection.service.close()
        assert [connection.follow(), connection.follow()] == [Event.WAKE, Event.LOST]
        assert it.follower.state.error in (0, errno.EPIPE, errno.ECONNRESET)
        assert it.follower.progress.position == journal.ends[1]
        connection.close()


def test_changed_sizes_are_told_once() -> None:
    journal = JournalBuilder()
    first = journal.next_segment()
    grown = journal.add([Transaction(deltas=((1, 1_000, 1_000), (2, 1_000, 1_000)))])
    a_little = journal.add([Transaction(deltas=((2, 1, 1),)), Transaction(deltas=((2, 0, 1), (1, 0, 0)))])
    with followed() as it:
        it.feed(as_frames(first, grown))
        assert it.follower.take_unpublished() == []
        it.feed(as_frames(a_little))
        assert it.follower.take_unpublished() == [Relfilenode(2)]
        assert it.follower.take_unpublished() == []


def test_a_follower_knows_what_it_is_told() -> None:
    with followed() as it:
        progress = Progress(
            Position(64), Timestamp(7), it.replica.progress.catalog_version, it.replica.progress.schema_version
        )
        it.follower.moved(progress, Timestamp(5))
        assert it.follower.progress == progress

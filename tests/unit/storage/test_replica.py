"""A replica holds what the journal says, exactly once, whatever happens in between."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import Relfilenode, Timestamp
from borealis.storage.ordered_map import MemoryMap, Table
from borealis.storage.replica import Replica
from borealis.storage.settings import StorageSettings
from borealis.storage.statistics import SUM_PREFIX, sum_key
from borealis.storage.stored_key import CATALOG_NAMESPACE, STATISTICS_NAMESPACE
from borealis.wire.transaction_record import Operation
from tests.unit.storage.journals import ENTRIES, ROWS, JournalBuilder, Transaction, journals, without_shrinking
from tests.unit.storage.versions import Versions, as_stored, needed

SETTINGS = StorageSettings(chunk_writes_max=3, chunk_bytes_max=150, sweep_entries=3)


def build(batches: list[list[Transaction]]) -> JournalBuilder:
    journal = JournalBuilder()
    journal.next_segment()
    for batch in batches:
        journal.add(batch)
    return journal


def apply(replica: Replica, *payloads: bytes) -> None:
    for _ in replica.write(replica.plan(payloads)):
        pass


def stored_versions(ordered_map: MemoryMap) -> dict[bytes, bytes]:
    return {key: value for key, value in ordered_map.tables[Table.VERSIONS].items() if key[0] != STATISTICS_NAMESPACE}


def meta(ordered_map: MemoryMap) -> dict[str, int]:
    entries = ordered_map.tables[Table.META].items()
    return {key.decode(): int.from_bytes(value, "little") for key, value in entries if not key.startswith(SUM_PREFIX)}


def check_applied(ordered_map: MemoryMap, journal: JournalBuilder) -> None:
    assert stored_versions(ordered_map) == as_stored(journal.versions)
    found = meta(ordered_map)
    assert found["position"] == journal.position
    assert found["timestamp"] == journal.timestamp
    assert found.get("catalog_version", 0) == journal.catalog_version
    assert found.get("schema_version", 0) == journal.schema_version


giant_bytes = st.sampled_from([0, 150, 1 << 20])
"""All transactions are giants, some are, none is."""


@given(journals, st.integers(1, 4), giant_bytes)
def test_plans_of_any_size_mean_the_same(batches: list[list[Transaction]], plan_size: int, giant_bytes: int) -> None:
    journal, ordered_map = build(batches), MemoryMap()
    replica = Replica(ordered_map, replace(SETTINGS, giant_bytes=giant_bytes))
    for start in range(0, len(journal.batches), plan_size):
        apply(replica, *journal.batches[start : start + plan_size])
    check_applied(ordered_map, journal)


@given(journals, giant_bytes, st.data())
def test_a_crash_between_any_two_transactions_changes_nothing(
    batches: list[list[Transaction]], giant_bytes: int, data: st.DataObject
) -> None:
    journal, ordered_map = build(batches), MemoryMap()
    attempts = 0
    while True:
        # A new process: reads where it is, and asks for the journal from there; the peer may send older batches again.
        replica = Replica(ordered_map, replace(SETTINGS, giant_bytes=giant_bytes))
        done = sum(end <= replica.progress.position for end in journal.ends)
        plan = replica.plan(journal.batches[data.draw(st.integers(0, done)) :])
        assert plan.after.timestamp == journal.timestamp
        steps = replica.write(plan)
        crash_after = data.draw(st.integers(0, 6)) if attempts < 5 else 1_000
        attempts += 1
        visible = ordered_map.tables[Table.META].get(b"timestamp")
        for _ in range(crash_after):
            if next(steps, "done") == "done":
                check_applied(ordered_map, journal)
                return
            if meta(ordered_map).get("timestamp", 0) != journal.timestamp:
                assert ordered_map.tables[Table.META].get(b"timestamp") == visible, "a part of a plan became visible"


def published_size(ordered_map: MemoryMap, relation: int) -> tuple[int, int]:
    stored = ordered_map.tables[Table.VERSIONS].get(b"\x40" + relation.to_bytes(4, "big") + b"\xff" * 7 + b"\xfe")
    return (0, 0) if stored is None else struct.unpack("<qq", stored)


@given(journals, st.booleans())
def test_relation_sizes_add_up(batches: list[list[Transaction]], publishes_all: bool) -> None:
    """Over any number of restarts, each of which brings a batch again. What is published may be late, not wrong."""
    journal, ordered_map = build([[without_shrinking(one) for one in batch] for batch in batches]), MemoryMap()
    for payload in journal.batches:
        apply(Replica(ordered_map, SETTINGS, publishes_all), payload)
        apply(Replica(ordered_map, SETTINGS, publishes_all), payload)
    if not publishes_all:
        for relation, (rows, size) in journal.sizes.items():
            published = published_size(ordered_map, relation)
            assert published[0] <= rows < published[0] * 65 / 64 + 1
            assert published[1] <= size < published[1] * 65 / 64 + 1
        Replica(ordered_map, SETTINGS, publishes_all).publish_sizes()
    for relation, expected in journal.sizes.items():
        assert published_size(ordered_map, relation) == expected


def test_a_size_never_falls_below_nothing() -> None:
    journal, ordered_map = build([[Transaction(deltas=((1, 5, 50), (1, -9, -20)))]]), MemoryMap()
    replica = Replica(ordered_map, SETTINGS)
    for payload in journal.batches:
        apply(replica, payload)
    assert published_size(ordered_map, 1) == (0, 30)


@given(journals, st.integers(90, 400), st.integers(1, 4), giant_bytes)
def test_collection_leaves_what_readers_need(
    batches: list[list[Transaction]], horizon: int, limit: int, giant_bytes: int
) -> None:
    journal, ordered_map = build(batches), MemoryMap()
    replica = Replica(ordered_map, replace(SETTINGS, giant_bytes=giant_bytes))
    while not replica.sweep(Timestamp(1)).is_idle:
        pass
    apply(replica, *journal.batches)
    bound = min(horizon, journal.timestamp)
    if replica.collector.queue.is_incomplete:
        bound = journal.timestamp
    rows = {name: value for name, value in journal.versions.items() if name[0][0] != CATALOG_NAMESPACE}
    catalog = {name: value for name, value in journal.versions.items() if name[0][0] == CATALOG_NAMESPACE}
    while not (replica.collect(Timestamp(bound), limit).is_idle and replica.sweep(Timestamp(bound)).is_idle):
        pass
    assert stored_versions(ordered_map) == as_stored(needed(rows, bound) | catalog)


@given(journals, st.integers(90, 400))
def test_after_a_restart_the_sweep_finds_the_garbage(batches: list[list[Transaction]], horizon: int) -> None:
    journal, ordered_map = build(batches), MemoryMap()
    apply(Replica(ordered_map, SETTINGS), *journal.batches)
    replica = Replica(ordered_map, SETTINGS)
    bound = min(horizon, journal.timestamp)
    while not replica.sweep(Timestamp(bound)).is_idle:
        pass
    rows = {name: value for name, value in journal.versions.items() if name[0][0] != CATALOG_NAMESPACE}
    catalog = {name: value for name, value in journal.versions.items() if name[0][0] == CATALOG_NAMESPACE}
    assert stored_versions(ordered_map) == as_stored(needed(rows, bound) | catalog)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_dropped_relation_goes_when_the_horizon_passes(is_restarted: bool) -> None:
    insert = Operation.INSERT
    one, two = ROWS[0], ROWS[4]
    journal, ordered_map = JournalBuilder(), MemoryMap()
    replica = Replica(ordered_map, SETTINGS)
    apply(replica, journal.next_segment())
    apply(replica, journal.add([Transaction(((insert, one, b"1"), (insert, two, b"2"), (insert, ENTRIES[0], b"3")))]))
    apply(replica, journal.add([Transaction(deltas=((1, 1, 1), (2, 1, 1)))]))
    apply(replica, journal.add([Transaction(dropped=(1, 3))]))
    if is_restarted:
        replica = Replica(ordered_map, SETTINGS)
    assert replica.collect(Timestamp(journal.timestamp - 1), 1).is_idle
    while not replica.collect(Timestamp(journal.timestamp), 1).is_idle:
        pass
    left = list(ordered_map.tables[Table.VERSIONS])
    assert sorted(key[:5] for key in left) == [two[:5], b"\x40\0\0\0\x02"]
    assert ordered_map.tables[Table.DROPS] == {}
    assert [key for key in ordered_map.tables[Table.META] if key.startswith(SUM_PREFIX)] == [sum_key(Relfilenode(2))]


def test_a_gap_in_the_journal_is_refused() -> None:
    journal = build([[Transaction()], [Transaction()]])
    replica = Replica(MemoryMap(), SETTINGS)
    with pytest.raises(InvariantViolation, match="comes next"):
        replica.plan([journal.batches[0], journal.batches[2]])


def test_a_damaged_batch_is_refused() -> None:
    journal = build([[Transaction(((Operation.INSERT, ROWS[0], b"value"),))]])
    damaged = bytearray(journal.batches[1])
    damaged[-1] ^= 1
    replica = Replica(MemoryMap(), SETTINGS)
    with pytest.raises(InvariantViolation, match="checksum"):
        replica.plan([journal.batches[0], bytes(damaged)])


def test_a_segment_that_does_not_follow_is_refused() -> None:
    journal = build([[Transaction()]])
    later = journal.next_segment()
    replica = Replica(MemoryMap(), SETTINGS)
    with pytest.raises(InvariantViolation, match="comes next"):
        replica.plan([journal.batches[0], later])


def test_an_overflowing_queue_is_made_good_by_the_sweep() -> None:
    journal, ordered_map = JournalBuilder(), MemoryMap()
    replica = Replica(ordered_map, StorageSettings(collect_queue_max=2, sweep_entries=2))
    while not replica.sweep(Timestamp(1)).is_idle:
        pass
    apply(replica, journal.next_segment())
    versions: Versions = {}
    for operation in (Operation.INSERT, Operation.UPDATE, Operation.DELETE):
        value = b"" if operation == Operation.DELETE else b"v"
        apply(replica, journal.add([Transaction(tuple((int(operation), row, value) for row in ROWS))]))
    assert replica.collector.queue.is_incomplete
    horizon = Timestamp(journal.timestamp)
    while not (replica.collect(horizon, 10).is_idle and replica.sweep(horizon).is_idle):
        pass
    assert stored_versions(ordered_map) == as_stored(versions)

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.conflicts import ConflictWindow, Footprint, Generation, WindowLimits, footprint_of
from borealis.foundation.identifiers import Timestamp, TransactionId
from borealis.wire.transaction_record import TransactionRecord, encode_transaction

# The matrix as docs/formats.md draws it: operation or lock → class, and which classes exclude each other.
OPERATION_CLASS = {1: "exclusive", 2: "update", 3: "exclusive", 4: "exclusive"}
LOCK_CLASS = {1: "key share", 2: "share", 3: "update", 4: "exclusive"}
EXCLUDED = {
    "exclusive": {"exclusive", "update", "share", "key share"},
    "update": {"exclusive", "update", "share"},
    "share": {"exclusive", "update"},
    "key share": {"exclusive"},
}

Touch = tuple[str, int]  # "write" or "lock", code
Touches = dict[str, Sequence[Touch]]


def naive_conflict(mine: Touches, theirs: Touches) -> bool:
    return any(
        _class(my_touch) in EXCLUDED[_class(their_touch)]
        for name in mine
        for my_touch in mine[name]
        for their_touch in theirs.get(name, ())
        if _class(my_touch) and _class(their_touch)
    )


def _class(touch: Touch) -> str:
    kind, code = touch
    return (OPERATION_CLASS if kind == "write" else LOCK_CLASS).get(code, "")


def footprint(touches: Touches) -> Footprint:
    writes = [
        (code, _key(name), b"" if code in (4, 6) else b"v")
        for name in touches
        for kind, code in touches[name]
        if kind == "write"
    ]
    locks = [(code, _key(name)) for name in touches for kind, code in touches[name] if kind == "lock"]
    return footprint_of(
        TransactionRecord(encode_transaction(TransactionId(bytes(16)), Timestamp(1), writes=writes, locks=locks))
    )


def _key(name: str) -> bytes:
    return b"\x10\0\0\0\1" + name.encode()


TOUCHES = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.integers(0, 6), st.lists(st.integers(1, 4), max_size=2)).map(
        lambda drawn: [("write", drawn[0])] * bool(drawn[0]) + [("lock", mode) for mode in drawn[1]]
    ),
    max_size=4,
)


@given(TOUCHES, TOUCHES)
def test_the_window_agrees_with_the_matrix_as_it_is_written(mine: Touches, theirs: Touches) -> None:
    window = ConflictWindow(Timestamp(0), WindowLimits())
    group = Generation()
    group.touch(footprint(theirs), Timestamp(10))
    window.absorb(group)
    expected = naive_conflict(mine, theirs)
    assert (window.find_conflict(footprint(mine), Timestamp(9)) is not None) == expected
    assert (group.find_conflict(footprint(mine), Timestamp(9)) is not None) == expected
    assert window.find_conflict(footprint(mine), Timestamp(10)) is None


@given(
    st.lists(st.tuples(TOUCHES, st.booleans(), st.integers(0, 40)), max_size=30),
    st.lists(st.tuples(TOUCHES, st.integers(0, 70)), min_size=1, max_size=5),
)
def test_generations_forget_nothing_above_the_floor(
    history: list[tuple[Touches, bool, int]], readers: list[tuple[Touches, int]]
) -> None:
    """Against a list of everything that was ever committed; whatever is below the floor must be refused unseen."""
    window = ConflictWindow(Timestamp(0), WindowLimits(4_000, 1_000, 7))
    committed: list[tuple[int, Touches]] = []
    group = Generation()
    now = 1
    for touches, ends_group, oldest_active in history:
        now += 1
        group.touch(footprint(touches), Timestamp(now))
        committed.append((now, touches))
        if ends_group:
            window.absorb(group)
            group = Generation()
            window.forget(Timestamp(min(oldest_active, now)))
    window.absorb(group)
    for touches, read in readers:
        if read >= window.floor:
            expected = any(timestamp > read and naive_conflict(touches, theirs) for timestamp, theirs in committed)
            assert (window.find_conflict(footprint(touches), Timestamp(read)) is not None) == expected


def test_memory_stays_below_its_bound_and_the_floor_covers_what_was_dropped() -> None:
    limits = WindowLimits(window_bytes_max=100_000, generation_bytes_max=10_000, generation_span_ns_max=10**18)
    window = ConflictWindow(Timestamp(0), limits)
    for number in range(1, 2001):
        group = Generation()
        group.touch([(0, [_key(str(number))])], Timestamp(number))
        window.absorb(group)
        assert window.cost_bytes <= limits.window_bytes_max + limits.generation_bytes_max
    assert 0 < window.floor < 2000
    assert window.find_conflict([(0, [_key("2000")])], Timestamp(1999)) is not None


def test_one_transaction_larger_than_the_window_raises_the_floor_to_itself() -> None:
    window = ConflictWindow(Timestamp(0), WindowLimits(1_000, 1_000, 10**18))
    group = Generation()
    group.touch([(0, [_key(str(number)) for number in range(100)])], Timestamp(5))
    window.absorb(group)
    assert window.floor == 5


def test_hot_keys_cost_what_they_take_and_no_more() -> None:
    window = ConflictWindow(Timestamp(0), WindowLimits(1_000_000, 1_000_000, 10**18))
    for number in range(1, 1001):
        group = Generation()
        group.touch([(1, [_key("hot")])], Timestamp(number))
        window.absorb(group)
    assert window.cost_bytes < 1_000


@given(TOUCHES, st.sampled_from([b"\x10\0\0\0\1", b"\x10\0\0\0\2"]))
def test_a_locked_table_conflicts_with_every_row_that_others_wrote(theirs: Touches, table: bytes) -> None:
    """DDL that read a whole table must not miss rows; transactions without DDL name no tables."""
    group = Generation()
    group.touch(footprint(theirs), Timestamp(10))
    record = TransactionRecord(
        encode_transaction(TransactionId(bytes(16)), Timestamp(1), locks=[(4, table)], catalog_entry=b"entry")
    )
    is_written = any(_class(touch) in ("exclusive", "update") for touches in theirs.values() for touch in touches)
    expected = is_written and table == _key("")
    assert (group.find_conflict(footprint_of(record), Timestamp(9)) is not None) == expected
    assert group.find_conflict(footprint_of(record), Timestamp(10)) is None

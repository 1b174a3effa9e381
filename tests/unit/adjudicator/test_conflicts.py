"""First committer wins, against the conflict matrix as docs/formats.md draws it and a list of all commits."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.limits import AdjudicatorLimits, WindowLimits
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import Timestamp
from borealis.wire.commit_messages import Answer, Committed, Refused
from borealis.wire.transaction_record import TransactionRecord, encode_transaction
from tests.unit.adjudicator.driving import (
    ADJUDICATORS,
    LEASE,
    Driver,
    Make,
    Start,
    key,
    transaction,
    transaction_id,
)

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


def touching(number: int, read: int, touches: Touches) -> TransactionRecord:
    writes = [
        (code, key(name), b"" if code in (4, 6) else b"v")
        for name in touches
        for kind, code in touches[name]
        if kind == "write"
    ]
    locks = [(code, key(name)) for name in touches for kind, code in touches[name] if kind == "lock"]
    return TransactionRecord(encode_transaction(transaction_id(number), Timestamp(read), writes=writes, locks=locks))


def is_conflict(answer: Answer) -> bool:
    assert isinstance(answer, Committed) or (isinstance(answer, Refused) and answer.reason is Reason.DATA_CONFLICT)
    return isinstance(answer, Refused)


def limits(*bounds: int) -> AdjudicatorLimits:
    return AdjudicatorLimits(WindowLimits(*bounds))


TOUCHES = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.integers(0, 6), st.lists(st.integers(1, 4), max_size=2)).map(
        lambda drawn: [("write", drawn[0])] * bool(drawn[0]) + [("lock", mode) for mode in drawn[1]]
    ),
    max_size=4,
)


MADE = st.sampled_from(ADJUDICATORS)


@given(MADE, TOUCHES, TOUCHES)
def test_the_window_agrees_with_the_matrix_as_it_is_written(make: Make, mine: Touches, theirs: Touches) -> None:
    expected = naive_conflict(mine, theirs)
    driver = Driver(make())
    assert not is_conflict(driver.run_one(touching(1, LEASE, theirs)))
    assert is_conflict(driver.run_one(touching(2, LEASE, mine))) == expected

    driver = Driver(make())
    assert not is_conflict(driver.run_one(touching(1, LEASE, theirs)))
    assert not is_conflict(driver.run_one(touching(2, driver.acknowledged, mine)))

    of_one_group = Driver(make()).run(touching(1, LEASE, theirs), touching(2, LEASE, mine))
    assert [is_conflict(answer) for answer in of_one_group] == [False, expected]


@given(
    MADE,
    st.lists(st.tuples(TOUCHES, st.booleans(), st.integers(0, 40)), max_size=30),
    st.lists(st.tuples(TOUCHES, st.integers(0, 70)), min_size=1, max_size=5),
)
def test_generations_forget_nothing_above_the_floor(
    make: Make, history: list[tuple[Touches, bool, int]], readers: list[tuple[Touches, int]]
) -> None:
    """Against a list of everything that was ever committed; whatever is below the floor must be refused unseen."""
    driver = Driver(make(limits=limits(2_000, 500, 7)))
    committed: list[tuple[int, Touches]] = []
    group: list[Touches] = []

    def run_group() -> None:
        driver.now = Timestamp(driver.acknowledged + 1)
        records = [
            touching(len(committed) + number, driver.acknowledged, touches) for number, touches in enumerate(group)
        ]
        for touches, answer in zip(group, driver.run(*records), strict=True):
            if isinstance(answer, Committed):
                committed.append((answer.timestamp, touches))
        group.clear()

    for touches, ends_group, oldest_active in history:
        group.append(touches)
        if ends_group:
            run_group()
            driver.adjudicator.forget(driver.now, Timestamp(LEASE + oldest_active))
    run_group()
    for touches, behind in readers:
        read = driver.acknowledged - behind
        answer = driver.run_one(touching(10_000 + len(committed), read, touches))
        if read < driver.window_floor:
            assert isinstance(answer, Refused)
            assert answer.reason is Reason.FORGOTTEN
            continue
        expected = any(timestamp > read and naive_conflict(touches, theirs) for timestamp, theirs in committed)
        assert is_conflict(answer) == expected
        if isinstance(answer, Committed):
            committed.append((answer.timestamp, touches))


def test_memory_stays_below_its_bound_and_the_floor_covers_what_was_dropped(start: Start) -> None:
    driver = start(limits=limits(100_000, 10_000, 10**18))
    for number in range(1, 2001):
        driver.run(transaction(number, driver.acknowledged, insert=[str(number)]))
        assert driver.adjudicator.window_bytes <= 100_000 + 10_000
    assert LEASE < driver.window_floor < driver.acknowledged
    assert is_conflict(driver.run_one(transaction(3000, driver.acknowledged - 1, insert=["2000"])))


def test_one_transaction_larger_than_the_window_raises_the_floor_to_itself(start: Start) -> None:
    driver = start(limits=limits(1_000, 1_000, 10**18))
    driver.run(transaction(1, LEASE, insert=[str(number) for number in range(100)]))
    assert driver.window_floor == driver.acknowledged > LEASE


def test_hot_keys_cost_what_they_take_and_no_more(start: Start) -> None:
    driver = start(limits=limits(1_000_000, 1_000_000, 10**18))
    for number in range(1, 1001):
        driver.run(transaction(number, driver.acknowledged, update=["hot"], locks=[(4, "hot")]))
    assert driver.adjudicator.window_bytes == len(key("hot")) + 64


@given(MADE, TOUCHES, st.sampled_from([b"\x10\0\0\0\1", b"\x10\0\0\0\2"]))
def test_a_locked_table_conflicts_with_every_row_that_others_wrote(make: Make, theirs: Touches, table: bytes) -> None:
    """DDL that read a whole table must not miss rows; transactions without DDL name no tables."""

    def schema_change(number: int, read: int, entry: bytes) -> TransactionRecord:
        return TransactionRecord(
            encode_transaction(transaction_id(number), Timestamp(read), locks=[(4, table)], catalog_entry=entry)
        )

    driver = Driver(make())
    driver.run(touching(1, LEASE, theirs))
    is_written = any(_class(touch) in ("exclusive", "update") for touches in theirs.values() for touch in touches)
    expected = is_written and table == key("")
    assert is_conflict(driver.run_one(schema_change(2, LEASE, b"entry"))) == expected
    if expected:
        assert not is_conflict(driver.run_one(schema_change(3, LEASE, b"")))
        assert is_conflict(driver.run_one(schema_change(4, LEASE, b"entry")))
        assert not is_conflict(driver.run_one(schema_change(5, driver.acknowledged, b"entry")))

"""The list-append checker against histories known to be good and known to be bad, and against random serial ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scenarios.history import Attempt, Outcome
from tests.scenarios.list_append import Append, Read, Transaction, check

X, Y = 1, 2


def committed(began: int, ended: int, *work: Append | Read) -> Attempt[Transaction]:
    return Attempt(work, Outcome.COMMITTED, began, ended)


def unknown(began: int, ended: int, *work: Append | Read) -> Attempt[Transaction]:
    return Attempt(work, Outcome.UNKNOWN, began, ended, "lost")


def rejected(began: int, ended: int, *work: Append | Read) -> Attempt[Transaction]:
    return Attempt(work, Outcome.REJECTED, began, ended, "40001")


def final(**lists: tuple[int, ...]) -> Attempt[Transaction]:
    reads = [Read(X, lists.get("x", ())), Read(Y, lists.get("y", ()))]
    return committed(1000, 1001, *reads)


def kinds(*attempts: Attempt[Transaction]) -> list[str]:
    return [anomaly.kind for anomaly in check(attempts)]


GOOD = {
    "empty": [],
    "one after the other": [
        committed(0, 1, Append(X, 1)),
        committed(2, 3, Read(X, (1,)), Append(X, 2), Read(X, (1, 2))),
        final(x=(1, 2)),
    ],
    "concurrent reader of the older state": [
        committed(0, 10, Append(X, 1)),
        committed(5, 6, Read(X, ())),
        final(x=(1,)),
    ],
    "write skew, which snapshot isolation allows": [
        committed(0, 10, Read(X, ()), Append(Y, 1)),
        committed(0, 10, Read(Y, ()), Append(X, 2)),
        final(x=(2,), y=(1,)),
    ],
    "rejected and absent": [rejected(0, 1, Append(X, 1)), committed(2, 3, Append(X, 2)), final(x=(2,))],
    "unknown and present, seen long after": [unknown(0, 1, Append(X, 1), Append(Y, 2)), final(x=(1,), y=(2,))],
    "unknown and absent": [unknown(0, 1, Append(X, 1), Append(Y, 2)), final()],
    "unknown, and it took effect after others": [
        unknown(0, 1, Append(X, 1)),
        committed(2, 3, Read(X, ()), Append(Y, 2)),
        committed(4, 5, Read(X, (1,))),
        final(x=(1,), y=(2,)),
    ],
    "read-only transactions that overlap may order either way": [
        committed(0, 10, Append(X, 1)),
        committed(1, 9, Read(X, (1,))),
        committed(2, 8, Read(X, ())),
        final(x=(1,)),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories_pass(name: str) -> None:
    assert check(GOOD[name]) == []


def test_lost_append() -> None:
    assert kinds(committed(0, 1, Append(X, 1)), final()) == ["lost append"]


def test_lost_update() -> None:
    """Both read the empty list and appended: the second must have overwritten or ignored the first."""
    assert kinds(
        committed(0, 10, Read(X, ()), Append(X, 1)),
        committed(0, 10, Read(X, ()), Append(X, 2)),
        final(x=(1, 2)),
    ) == ["G-single"]


def test_half_applied() -> None:
    assert kinds(unknown(0, 1, Append(X, 1), Append(Y, 2)), final(x=(1,))) == ["half applied"]


def test_applied_twice() -> None:
    assert "duplicate" in kinds(committed(0, 1, Append(X, 1)), final(x=(1, 1)))


def test_aborted_read() -> None:
    assert kinds(rejected(0, 1, Append(X, 1)), final(x=(1,))) == ["G1a aborted read"]


def test_intermediate_read() -> None:
    assert "G1b intermediate read" in kinds(
        committed(0, 10, Append(X, 1), Append(X, 2)), committed(0, 10, Read(X, (1,))), final(x=(1, 2))
    )


def test_unborn_value() -> None:
    assert kinds(final(x=(9,))) == ["unborn value"]


def test_contradicting_orders() -> None:
    assert "incompatible order" in kinds(
        committed(0, 1, Append(X, 1)), committed(0, 1, Append(X, 2)), committed(0, 9, Read(X, (2,))), final(x=(1, 2))
    )


def test_own_append_not_seen() -> None:
    assert kinds(committed(0, 1, Append(X, 1), Read(X, ())), final(x=(1,))) == ["internal"]


def test_read_that_is_not_repeatable() -> None:
    assert "internal" in kinds(
        committed(0, 10, Read(X, ()), Read(X, (1,))), committed(0, 10, Append(X, 1)), final(x=(1,))
    )


def test_g0() -> None:
    assert kinds(
        committed(0, 10, Append(X, 1), Append(Y, 2)),
        committed(0, 10, Append(X, 3), Append(Y, 4)),
        final(x=(1, 3), y=(4, 2)),
    ) == ["G0"]


def test_g1c() -> None:
    assert kinds(
        committed(0, 10, Append(X, 1), Read(Y, (2,))),
        committed(0, 10, Append(Y, 2), Read(X, (1,))),
        final(x=(1,), y=(2,)),
    ) == ["G1c"]


def test_g_single() -> None:
    """A reader that sees half of another transaction: read skew."""
    assert kinds(
        committed(0, 10, Append(X, 1), Append(Y, 2)),
        committed(0, 10, Read(X, (1,)), Read(Y, ())),
        final(x=(1,), y=(2,)),
    ) == ["G-single"]


def test_long_fork() -> None:
    """Two readers see two independent writers in different orders: rw dependencies, but never two in a row."""
    assert kinds(
        committed(0, 10, Append(X, 1)),
        committed(0, 10, Append(Y, 2)),
        committed(0, 10, Read(X, (1,)), Read(Y, ())),
        committed(0, 10, Read(X, ()), Read(Y, (2,))),
        final(x=(1,), y=(2,)),
    ) == ["G-nonadjacent"]


def test_stale_read() -> None:
    """Acknowledged before the reader began, and not seen."""
    assert kinds(committed(0, 1, Append(X, 1)), committed(2, 3, Read(X, ())), final(x=(1,))) == ["G-single-realtime"]


def test_readers_that_go_back_in_time() -> None:
    assert kinds(
        committed(0, 100, Append(X, 1)), committed(1, 2, Read(X, (1,))), committed(3, 4, Read(X, ())), final(x=(1,))
    ) == ["G-single-realtime"]


def test_order_of_commits_against_real_time() -> None:
    assert kinds(committed(0, 1, Append(X, 1)), committed(2, 3, Append(X, 2)), final(x=(2, 1))) == ["G0-realtime"]


def serial_history(seed: int, length: int) -> list[Attempt[Transaction]]:
    """What a correct database does: transactions one after the other, acknowledged at any later time."""
    chance = random.Random(seed)
    lists: dict[int, list[int]] = {X: [], Y: []}
    attempts = []
    for number in range(length):
        work: list[Append | Read] = []
        outcome = chance.choice([*[Outcome.COMMITTED] * 6, Outcome.REJECTED, Outcome.UNKNOWN])
        takes_effect = outcome is Outcome.COMMITTED or (outcome is Outcome.UNKNOWN and chance.random() < 0.5)
        draft = {key: list(values) for key, values in lists.items()}
        for step in range(chance.randrange(1, 4)):
            key = chance.choice([X, Y])
            if chance.random() < 0.5:
                value = number * 10 + step
                draft[key].append(value)
                work.append(Append(key, value))
            else:
                work.append(Read(key, tuple(draft[key])))
        if takes_effect:
            lists = draft
        moment = number * 10
        spread = chance.randrange(60)
        attempts.append(Attempt(tuple(work), outcome, moment - spread, moment + chance.randrange(60)))
    end = length * 10 + 100
    reads = (Read(X, tuple(lists[X])), Read(Y, tuple(lists[Y])))
    return [*attempts, Attempt(reads, Outcome.COMMITTED, end, end + 1)]


@given(st.integers(0, 2**32), st.integers(0, 40))
def test_serial_histories_pass(seed: int, length: int) -> None:
    assert check(serial_history(seed, length)) == []


@given(st.integers(0, 2**32), st.data())
def test_a_dropped_value_is_noticed(seed: int, data: st.DataObject) -> None:
    """The last transaction of a serial history does not see one value that a committed one appended."""
    history = serial_history(seed, 30)
    last = history[-1]
    committed_values = {
        (op.key, op.value) for a in history if a.is_committed for op in a.work if isinstance(op, Append)
    }
    victim = data.draw(st.sampled_from(sorted(committed_values)))
    reads = tuple(
        Read(read.key, tuple(v for v in read.values if (read.key, v) != victim))
        for read in last.work
        if isinstance(read, Read)
    )
    assert check([*history[:-1], Attempt(reads, last.outcome, last.began_ns, last.ended_ns)])

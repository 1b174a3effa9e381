from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.sequences import SequenceState, restored_state, step
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import Relfilenode
from borealis.wire.commit_messages import Refused, SequenceCall, SequenceGrant, SequenceOperation
from borealis.wire.journal_batch import SequenceReservation

NEXT, SET, LOOK = SequenceOperation.NEXT, SequenceOperation.SET, SequenceOperation.LOOK
GIVE_BACK = SequenceOperation.GIVE_BACK
SOUND = SequenceCall(Relfilenode(1), NEXT, False, False, False, 1, 1, 1, 100, 1, 1)


class Sequence:
    """A sequence and the journal under it; `crash` forgets all but the journal."""

    def __init__(self, **parameters: object) -> None:
        self.call = SOUND._replace(**parameters)  # type: ignore[arg-type]
        self.state: SequenceState | None = None
        self.durable: SequenceReservation | None = None

    def do(self, **changes: object) -> SequenceGrant | Refused:
        taken = step(self.state, self.call._replace(**changes))  # type: ignore[arg-type]
        self.state = taken.state or self.state
        self.durable = taken.reservation or self.durable
        return taken.answer

    def next(self, wanted: int = 1) -> list[int]:
        answer = self.do(wanted=wanted)
        assert isinstance(answer, SequenceGrant), answer
        return [answer.first + number * self.call.increment for number in range(answer.granted)]

    def crash(self) -> None:
        self.state = restored_state(self.durable) if self.durable else None


def test_values_follow_each_other() -> None:
    sequence = Sequence()
    assert sequence.next() == [1]
    assert sequence.next(3) == [2, 3, 4]


def test_most_values_need_no_journal() -> None:
    sequence = Sequence(maximum=10**6)
    reservations = sum(step_needs_journal(sequence) for _ in range(1000))
    assert reservations <= 1 + 1000 // 32


def step_needs_journal(sequence: Sequence) -> bool:
    before = sequence.durable
    sequence.next()
    return sequence.durable is not before


def test_a_start_that_is_called_is_not_handed_out() -> None:
    assert Sequence(start=5, start_is_called=True).next() == [6]


def test_exhaustion_is_refused_and_the_last_values_are_granted_before() -> None:
    sequence = Sequence(maximum=3)
    assert sequence.next(10) == [1, 2, 3]
    answer = sequence.do()
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.SEQUENCE_EXHAUSTED


def test_cycling_begins_again_at_the_other_end() -> None:
    sequence = Sequence(maximum=3, is_cycling=True)
    assert [sequence.next(2) for _ in range(4)] == [[1, 2], [3], [1, 2], [3]]
    falling = Sequence(increment=-2, start=5, minimum=1, maximum=6, is_cycling=True)
    assert [falling.next(5) for _ in range(2)] == [[5, 3, 1], [6, 4, 2]]


@pytest.mark.parametrize("is_called", [True, False])
def test_set_is_durable_at_once(is_called: bool) -> None:
    sequence = Sequence()
    sequence.next()
    assert sequence.do(operation=SET, value=50, value_is_called=is_called) == SequenceGrant(50, 1, is_called)
    sequence.crash()
    assert sequence.do(operation=LOOK) == SequenceGrant(50, 1, is_called)
    assert sequence.next() == [51 if is_called else 50]


def test_a_look_changes_nothing() -> None:
    sequence = Sequence(start=4)
    assert sequence.do(operation=LOOK) == SequenceGrant(4, 1, False)
    assert sequence.state is None
    assert sequence.next() == [4]
    assert sequence.do(operation=LOOK) == SequenceGrant(4, 1, True)


def test_the_ends_of_the_type_are_reached_and_not_passed() -> None:
    top = Sequence(start=2**63 - 3, minimum=-(2**63), maximum=2**63 - 1)
    assert top.next(10) == [2**63 - 3, 2**63 - 2, 2**63 - 1]
    assert isinstance(top.do(), Refused)
    bottom = Sequence(start=-(2**63) + 1, increment=-1, minimum=-(2**63), maximum=0)
    assert bottom.next(10) == [-(2**63) + 1, -(2**63)]
    assert isinstance(bottom.do(), Refused)


@given(
    st.integers(1, 5) | st.integers(-5, -1),
    st.lists(st.sampled_from([1, 2, 40, 100, "crash"]), max_size=40),
)
def test_no_value_is_handed_out_twice_whatever_crashes(increment: int, actions: list[int | str]) -> None:
    sequence = Sequence(increment=increment, start=0, minimum=-(10**6), maximum=10**6)
    seen: list[int] = []
    for action in actions:
        if isinstance(action, int):
            seen += sequence.next(action)
        else:
            sequence.crash()
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen, reverse=increment < 0)


@given(st.lists(st.tuples(st.sampled_from([1, -1, 3]), st.integers(1, 50), st.booleans()), max_size=30))
def test_an_increment_may_change_in_between(actions: list[tuple[int, int, bool]]) -> None:
    """Each run of one direction stays free of repetitions, and the reservation always covers what was granted."""
    sequence = Sequence(start=0, minimum=-(10**6), maximum=10**6)
    for increment, wanted, crashes in actions:
        answer = sequence.do(increment=increment, wanted=wanted)
        assert isinstance(answer, SequenceGrant)
        last = answer.first + (answer.granted - 1) * increment
        assert sequence.durable is not None
        assert (sequence.durable.reserved_up_to - last) * (1 if increment > 0 else -1) >= 0
        if crashes:
            sequence.crash()


@pytest.mark.parametrize("increment", [1, -3])
def test_values_that_were_handed_out_last_can_be_given_back(increment: int) -> None:
    sequence = Sequence(increment=increment, minimum=-1000, maximum=1000, start=10)
    first, second, third, _ = sequence.next(4)
    assert sequence.do(operation=GIVE_BACK, value=third, wanted=2) == SequenceGrant(second, 2, True)
    assert sequence.next(3) == [third, third + increment, third + 2 * increment]
    assert first == 10


def test_values_before_others_cannot_be_given_back() -> None:
    sequence = Sequence()
    sequence.next(4)
    sequence.next()
    assert sequence.do(operation=GIVE_BACK, value=3, wanted=2) == SequenceGrant(5, 0, True)
    assert sequence.next() == [6]


def test_values_from_before_a_set_or_a_crash_cannot_be_given_back() -> None:
    sequence = Sequence()
    sequence.next(4)
    sequence.do(operation=SET, value=4, value_is_called=True)
    assert sequence.do(operation=GIVE_BACK, value=3, wanted=2) == SequenceGrant(4, 0, True)
    assert sequence.next() == [5]
    sequence.next(4)
    sequence.crash()
    assert sequence.state is not None
    reserved = sequence.state.value
    sequence.do(operation=GIVE_BACK, value=reserved - 1, wanted=2)
    assert sequence.next() == [reserved + 1]


def test_what_was_given_back_stays_reserved() -> None:
    """Handed out again without a new reservation, and never twice after a crash."""
    sequence = Sequence()
    sequence.next(8)
    sequence.do(operation=GIVE_BACK, value=5, wanted=4)
    again = sequence.next(4)
    sequence.crash()
    assert not set(again) & set(sequence.next(4))

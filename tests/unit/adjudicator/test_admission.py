from __future__ import annotations

from borealis.adjudicator.admission import Admission, AdmissionLimits, Ticket
from borealis.foundation.identifiers import Timestamp
from tests.unit.adjudicator.driving import ask, call_next, transaction

LIMITS = AdmissionLimits(lag_bytes_max=1000, wait_ns_max=50, waiting_max=4, group_bytes_max=200)


def queue(*requests: object, arrived: int = 0) -> Admission[str]:
    admission: Admission[str] = Admission(LIMITS)
    for number, request in enumerate(requests):
        assert admission.offer(Ticket(f"sender {number}", number, request, Timestamp(arrived + number)))  # type: ignore[arg-type]
    return admission


def numbers(tickets: list[Ticket[str]]) -> list[int]:
    return [ticket.number for ticket in tickets]


def test_requests_go_through_in_their_order_and_groups_are_bounded() -> None:
    admission = queue(*[transaction(number, 1, insert=["a" * 150]) for number in range(3)], ask(9, 1))
    assert numbers(admission.take_group()) == [0]
    assert numbers(admission.take_group()) == [1]
    assert numbers(admission.take_group()) == [2]
    assert numbers(admission.take_group()) == [3]
    assert admission.take_group() == []


def test_transactions_wait_for_storage_and_others_do_not() -> None:
    admission = queue(transaction(1, 1, insert="a"), call_next(), transaction(2, 1, insert="b"), ask(1, 1))
    admission.note_lag(1001)
    assert numbers(admission.take_group()) == [1, 3]
    assert admission.take_group() == []
    admission.note_lag(1000)
    assert numbers(admission.take_group()) == [0, 2]


def test_whatever_needs_the_journal_waits_for_room() -> None:
    admission = queue(transaction(1, 1, insert="a"), call_next(), ask(1, 1))
    admission.await_room(admission.take_group())
    assert admission.is_room_awaited
    assert numbers(admission.take_group()) == [2]
    admission.note_room()
    assert numbers(admission.take_group()) == [0, 1]


def test_without_room_everything_but_questions_is_turned_away() -> None:
    admission = queue(transaction(1, 1, insert="a"), call_next(), ask(1, 1))
    admission.await_room(admission.take_group())
    assert numbers(admission.take_all_that_need_room()) == [0, 1]
    assert not admission.is_room_awaited
    assert numbers(admission.take_group()) == [2]


def test_the_queue_is_bounded() -> None:
    admission = queue(*[ask(number, 1) for number in range(4)])
    assert not admission.offer(Ticket("late", 9, ask(9, 1), Timestamp(0)))
    assert len(admission) == 4


def test_waiting_is_bounded_in_time() -> None:
    admission = queue(transaction(1, 1, insert="a"), transaction(2, 1, insert="b"), arrived=100)
    admission.note_lag(10**9)
    assert admission.take_group() == []
    assert admission.next_expiry() == 150
    assert admission.take_expired(Timestamp(149)) == []
    assert numbers(admission.take_expired(Timestamp(150))) == [0]
    assert admission.next_expiry() == 151
    assert numbers(admission.take_all()) == [1]
    assert admission.next_expiry() is None


def test_a_sender_that_has_gone_takes_its_requests_along() -> None:
    admission = queue(transaction(1, 1, insert="a"), ask(1, 1))
    sender = admission.take_all()[1].sender
    admission = queue(transaction(1, 1, insert="a"))
    admission.offer(Ticket(sender, 5, ask(1, 1), Timestamp(0)))
    assert numbers(admission.take_of(sender)) == [5]
    assert numbers(admission.take_group()) == [0]

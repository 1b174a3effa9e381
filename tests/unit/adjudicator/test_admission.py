from __future__ import annotations

from borealis.adjudicator.admission import Admission, AdmissionLimits, Ticket
from borealis.foundation.identifiers import Relfilenode, Timestamp
from tests.unit.adjudicator.driving import ask, call_next, transaction

LIMITS = AdmissionLimits(
    lag_bytes_max=1000,
    wait_ns_max=50,
    waiting_max=4,
    reservation_ns_max=500,
    reserved_wait_ns_max=20,
    group_bytes_max=200,
)


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


def reserved(*requests: object, table: int = 1, arrived: int = 0, now: int = 0) -> Admission[str]:
    """A queue of requests after a session has reserved a table; the driver's transactions write table 1."""
    admission: Admission[str] = Admission(LIMITS)
    admission.reserve("reserver", [Relfilenode(table)], Timestamp(now))
    for number, request in enumerate(requests):
        assert admission.offer(Ticket(f"sender {number}", number, request, Timestamp(arrived)))  # type: ignore[arg-type]
    return admission


def test_a_reserved_table_holds_who_writes_or_locks_it_until_it_is_released() -> None:
    admission = reserved(transaction(1, 1, insert="a"), transaction(2, 1, locks=[(4, "b")]), call_next(), ask(1, 1))
    assert numbers(admission.take_group()) == [2, 3]
    assert admission.take_group() == []
    assert len(admission) == 2
    admission.release("somebody else")
    assert admission.take_group() == []
    admission.release("reserver")
    assert numbers(admission.take_group()) == [0, 1]


def test_another_table_is_not_held() -> None:
    assert numbers(reserved(transaction(1, 1, insert="a"), table=2).take_group()) == [0]


def test_the_reserver_and_other_schema_changes_are_not_held() -> None:
    admission = reserved(transaction(1, 1, insert="a", entry=b"ddl"))
    admission.offer(Ticket("reserver", 5, transaction(2, 1, insert="a"), Timestamp(0)))
    assert numbers(admission.take_group()) == [0, 5]


def test_two_that_reserve_the_same_table_hold_the_rest_until_both_have_ended() -> None:
    admission = reserved(transaction(1, 1, insert="a"))
    admission.reserve("another", [Relfilenode(1)], Timestamp(0))
    assert admission.take_group() == []
    admission.release("reserver")
    assert admission.take_group() == []
    admission.release("another")
    assert numbers(admission.take_group()) == [0]


def test_being_held_is_bounded_in_time() -> None:
    admission = reserved(transaction(1, 1, insert="a"), arrived=100)
    assert admission.take_group() == []
    assert admission.next_expiry() == 120
    assert admission.take_overdue(Timestamp(119)) == []
    assert numbers(admission.take_overdue(Timestamp(120))) == [0]
    assert admission.next_expiry() is None
    assert len(admission) == 0


def test_a_reservation_that_is_too_old_holds_nobody() -> None:
    admission = reserved(transaction(1, 1, insert="a"), arrived=495)
    assert admission.take_group() == []
    assert admission.take_overdue(Timestamp(500)) == []
    assert numbers(admission.take_group()) == [0]


def test_who_is_held_counts_in_the_queue_and_leaves_with_its_sender() -> None:
    admission = reserved(*[transaction(number, 1, insert="a") for number in range(4)])
    assert admission.take_group() == []
    assert not admission.offer(Ticket("late", 9, ask(9, 1), Timestamp(0)))
    sender = admission.take_all()[2].sender
    admission = reserved(transaction(1, 1, insert="a"))
    admission.offer(Ticket(sender, 5, transaction(2, 1, insert="b"), Timestamp(0)))
    assert admission.take_group() == []
    assert admission.take_of(sender) == []
    assert numbers(admission.take_all()) == [0]

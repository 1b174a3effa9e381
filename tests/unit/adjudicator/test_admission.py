from __future__ import annotations

from borealis.adjudicator.admission import Admission, AdmissionLimits
from borealis.foundation.identifiers import Timestamp

LIMITS = AdmissionLimits(lag_bytes_max=1000, wait_ns_max=50, reserved_wait_ns_max=20)


def holds(admission: Admission) -> tuple[bool, bool]:
    return admission.holds_transactions, admission.holds_sequences


def test_transactions_wait_for_storage_and_sequences_do_not() -> None:
    admission = Admission(LIMITS)
    assert holds(admission) == (False, False)
    admission.note_lag(1001)
    assert holds(admission) == (True, False)
    admission.note_lag(1000)
    assert holds(admission) == (False, False)


def test_whatever_needs_the_journal_waits_for_room() -> None:
    admission = Admission(LIMITS)
    admission.await_room()
    assert admission.is_room_awaited
    assert holds(admission) == (True, True)
    admission.note_lag(1001)
    admission.note_room()
    assert not admission.is_room_awaited
    assert holds(admission) == (True, False)


def test_waiting_is_bounded_in_time() -> None:
    admission = Admission(LIMITS)
    arrived = Timestamp(100)
    expiry = admission.next_expiry(arrived, None)
    assert expiry == 150
    assert admission.latest_to_expire(expiry) == arrived
    assert admission.latest_to_expire(Timestamp(149)) < arrived


def test_being_held_is_bounded_in_time_as_well() -> None:
    admission = Admission(LIMITS)
    assert admission.next_expiry(None, None) is None
    assert admission.next_expiry(Timestamp(100), Timestamp(125)) == 145
    assert admission.next_expiry(Timestamp(100), Timestamp(135)) == 150
    assert admission.latest_overdue(Timestamp(145)) == 125
    assert admission.latest_overdue(Timestamp(10)) == 0


def test_a_clock_that_has_just_begun_expires_nobody() -> None:
    assert Admission(LIMITS).latest_to_expire(Timestamp(10)) == 0

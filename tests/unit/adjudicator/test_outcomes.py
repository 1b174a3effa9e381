from __future__ import annotations

from borealis.adjudicator.outcomes import OutcomeLimits, OutcomeMemory
from borealis.foundation.identifiers import CatalogVersion, Timestamp
from borealis.wire.commit_messages import Committed
from tests.unit.adjudicator.driving import transaction_id


def memory(**limits: int) -> OutcomeMemory:
    return OutcomeMemory(Timestamp(0), CatalogVersion(0), OutcomeLimits(**limits))


def remember(outcomes: OutcomeMemory, number: int) -> None:
    outcomes.remember({transaction_id(number): Timestamp(number)}, Timestamp(number), Timestamp(number))


def test_a_commit_is_found_with_its_timestamp() -> None:
    outcomes = memory()
    remember(outcomes, 5)
    assert outcomes.find(transaction_id(5), Timestamp(4)) == Committed(Timestamp(5), CatalogVersion(0))
    assert outcomes.find(transaction_id(6), Timestamp(4)) is None


def test_age_is_bounded_and_everything_since_is_there() -> None:
    outcomes = memory(age_ns_max=100)
    for number in range(1, 1001):
        remember(outcomes, number)
    assert 800 < outcomes.since < 1000
    for number in range(1, 1001):
        found = outcomes.find(transaction_id(number), Timestamp(number - 1)) is not None
        assert found == (number > outcomes.since)


def test_number_is_bounded() -> None:
    outcomes = memory(outcomes_max=100)
    for number in range(1, 1001):
        remember(outcomes, number)
    remembered = sum(
        outcomes.find(transaction_id(number), Timestamp(number - 1)) is not None for number in range(1, 1001)
    )
    assert 50 <= remembered <= 115


def test_each_commit_has_the_catalog_version_of_its_time() -> None:
    outcomes = memory(age_ns_max=80)
    for number in range(1, 201):
        if number % 10 == 0:
            outcomes.note_catalog_version(CatalogVersion(number // 10), Timestamp(number))
        remember(outcomes, number)
    for number in range(int(outcomes.since) + 1, 201):
        found = outcomes.find(transaction_id(number), Timestamp(number - 1))
        assert found == Committed(Timestamp(number), CatalogVersion(number // 10))


def test_fences_are_bounded_and_dropped_once_they_are_not_needed() -> None:
    outcomes = memory(fences_max=2)
    assert outcomes.fence(transaction_id(1), Timestamp(10))
    assert outcomes.fence(transaction_id(2), Timestamp(20))
    assert not outcomes.fence(transaction_id(3), Timestamp(30))
    assert outcomes.fence(transaction_id(1), Timestamp(10))
    outcomes.drop_fences(Timestamp(15))
    assert not outcomes.is_fenced(transaction_id(1))
    assert outcomes.is_fenced(transaction_id(2))
    assert outcomes.fence(transaction_id(3), Timestamp(30))

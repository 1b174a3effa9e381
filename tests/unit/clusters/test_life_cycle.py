import pytest

from borealis.clusters.cluster import ClusterStatus
from borealis.clusters.life_cycle import IDLE_AFTER_NS, can_change, can_delete, shown_status, status_after_change
from borealis.foundation.identifiers import Timestamp

NOW = Timestamp(10 * IDLE_AFTER_NS)


def test_what_a_status_allows() -> None:
    assert [status for status in ClusterStatus if can_change(status)] == [
        ClusterStatus.ACTIVE,
        ClusterStatus.UPDATING,
        ClusterStatus.FAILED,
    ]
    assert status_after_change(ClusterStatus.ACTIVE) is ClusterStatus.UPDATING
    assert status_after_change(ClusterStatus.FAILED) is ClusterStatus.FAILED
    assert [status for status in ClusterStatus if not can_delete(status)] == [
        ClusterStatus.IDLE,
        ClusterStatus.INACTIVE,
        ClusterStatus.DELETED,
        ClusterStatus.PENDING_SETUP,
        ClusterStatus.PENDING_DELETE,
    ]


@pytest.mark.parametrize(
    ("is_awake", "unused_ns", "shown"),
    [
        (True, 0, ClusterStatus.ACTIVE),
        (True, IDLE_AFTER_NS - 1, ClusterStatus.ACTIVE),
        (True, IDLE_AFTER_NS, ClusterStatus.IDLE),
        (False, 0, ClusterStatus.INACTIVE),
    ],
)
def test_an_active_cluster_may_sleep_or_be_idle(is_awake: bool, unused_ns: int, shown: ClusterStatus) -> None:
    assert shown_status(ClusterStatus.ACTIVE, is_awake, Timestamp(NOW - unused_ns), NOW) is shown


@pytest.mark.parametrize("status", [ClusterStatus.CREATING, ClusterStatus.DELETING, ClusterStatus.FAILED])
def test_other_statuses_are_shown_as_they_are(status: ClusterStatus) -> None:
    assert shown_status(status, False, Timestamp(0), NOW) is status

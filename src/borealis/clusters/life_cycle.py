"""How a cluster's status changes, and what its status allows. Pure.

    CREATING ──▶ ACTIVE ◀──▶ UPDATING
        │          │ ╲          (asleep: INACTIVE, awake and unused: IDLE; shown, not stored)
        ▼          ▼   ╲
      FAILED ──▶ DELETING ──▶ gone

What is asked for is stored first, as CREATING, UPDATING or DELETING; whoever carries it out moves on from there, again
and again after crashes, until it has happened.
"""

from typing import Final

from borealis.clusters.cluster import ClusterStatus
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp

# How long an awake cluster has been without a session before it is called idle.
IDLE_AFTER_NS: Final = 60 * NANOSECONDS_PER_SECOND

# What failed can be changed as well: it may be protected from deletion.
_CHANGEABLE: Final = frozenset({ClusterStatus.ACTIVE, ClusterStatus.UPDATING, ClusterStatus.FAILED})
_DELETABLE: Final = frozenset({*_CHANGEABLE, ClusterStatus.CREATING, ClusterStatus.DELETING})


def can_change(status: ClusterStatus) -> bool:
    """Whether its settings, tags and policy may be changed."""
    return status in _CHANGEABLE


def can_delete(status: ClusterStatus) -> bool:
    """Deleting what is being deleted changes nothing, and is no error."""
    return status in _DELETABLE


def status_after_change(status: ClusterStatus) -> ClusterStatus:
    """What is stored with a change. A change does not mend what failed."""
    return status if status is ClusterStatus.FAILED else ClusterStatus.UPDATING


def shown_status(stored: ClusterStatus, is_awake: bool, last_used: Timestamp, now: Timestamp) -> ClusterStatus:
    """What users are told: an active cluster may sleep, or have had nobody for a while."""
    if stored is not ClusterStatus.ACTIVE:
        return stored
    if not is_awake:
        return ClusterStatus.INACTIVE
    return ClusterStatus.IDLE if now - last_used >= IDLE_AFTER_NS else ClusterStatus.ACTIVE

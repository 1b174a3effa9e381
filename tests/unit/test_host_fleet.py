"""The life of clusters on a host: who is started and stopped when, and that everybody who asks is answered once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.clusters.names import ClusterIdentifier
from borealis.host.fleet import (
    EXISTS,
    NO_SUCH_CLUSTER,
    REFILL_PAUSE_S,
    UNAVAILABLE,
    ClaimSpare,
    Done,
    Fleet,
    FleetEffect,
    MakeSpare,
    Refuse,
    RemoveFiles,
    StartCluster,
    StopCluster,
    Ticket,
)
from borealis.placement import ClusterState
from tests.examples import examples

A, B, C = (ClusterIdentifier(letter * 26) for letter in "abc")
SLEEP_S = 60.0


def ticket(number: int) -> Ticket:
    return Ticket(1, number)


def fleet_with(*clusters: ClusterIdentifier, spares: int = 0) -> Fleet:
    fleet = Fleet(spares=spares, sleep_after_s=SLEEP_S)
    for cluster in clusters:
        fleet.add(cluster)
    return fleet


def wake(fleet: Fleet, cluster: ClusterIdentifier, now: float = 0.0) -> None:
    assert fleet.start(ticket(1), cluster, now) == [StartCluster(cluster, is_new=False, is_spare=False)]
    fleet.served(cluster, is_served=True)
    assert fleet.ready(cluster, now) == [Done(ticket(1), cluster)]


def test_whoever_needs_a_sleeping_cluster_waits_until_it_takes_sessions() -> None:
    fleet = fleet_with(A)
    assert fleet.start(ticket(1), A, 0.0) == [StartCluster(A, is_new=False, is_spare=False)]
    assert fleet.start(ticket(2), A, 0.1) == []
    assert fleet.ready(A, 0.2) == []
    assert fleet.served(A, is_served=True) == [Done(ticket(1), A), Done(ticket(2), A)]
    assert fleet.start(ticket(3), A, 0.3) == [Done(ticket(3), A)]


def test_while_a_front_is_started_again_newcomers_wait() -> None:
    fleet = fleet_with(A)
    wake(fleet, A)
    fleet.served(A, is_served=False)
    assert fleet.start(ticket(2), A, 1.0) == []
    assert fleet.served(A, is_served=True) == [Done(ticket(2), A)]


def test_a_cluster_without_sessions_is_put_to_sleep_and_woken_by_who_comes_meanwhile() -> None:
    fleet = fleet_with(A)
    wake(fleet, A)
    fleet.sessions(A, 1, 10.0)
    assert fleet.deadline is None
    fleet.sessions(A, 0, 20.0)
    assert fleet.deadline == 20.0 + SLEEP_S
    assert fleet.tick(19.0 + SLEEP_S) == []
    assert fleet.tick(20.0 + SLEEP_S) == [StopCluster(A)]
    assert fleet.start(ticket(2), A, 81.0) == []
    assert fleet.ended(A, None, 82.0) == [StartCluster(A, is_new=False, is_spare=False)]


def test_a_cluster_that_cannot_start_says_why_and_is_tried_again() -> None:
    fleet = fleet_with(A)
    fleet.start(ticket(1), A, 0.0)
    assert fleet.ended(A, "the disk is gone", 1.0) == [Refuse(ticket(1), UNAVAILABLE, "the disk is gone")]
    assert fleet.member(A).problem == "the disk is gone"
    assert fleet.start(ticket(2), A, 2.0) == [StartCluster(A, is_new=False, is_spare=False)]


def test_a_spare_is_given_away_ready_and_replaced_after_a_pause() -> None:
    fleet = fleet_with(spares=1)
    fleet.begin(0.0)
    assert fleet.tick(REFILL_PAUSE_S) == [MakeSpare()]
    assert fleet.add_spare(B) == [StartCluster(B, is_new=True, is_spare=True)]
    fleet.served(B, is_served=True)
    fleet.ready(B, 1.0)
    assert fleet.start(ticket(1), B, 2.0) == [Refuse(ticket(1), NO_SUCH_CLUSTER, f"there is no cluster {B}")]
    assert fleet.create(ticket(2), None, C, 100.0) == [ClaimSpare(B), Done(ticket(2), B)]
    assert fleet.tick(100.0) == []
    assert fleet.tick(100.0 + REFILL_PAUSE_S) == [MakeSpare()]
    assert [member.cluster for member in fleet.members()] == [B]


def test_a_spare_can_be_asked_for_by_name_but_once() -> None:
    fleet = fleet_with(spares=1)
    fleet.add_spare(B)
    fleet.served(B, is_served=True)
    fleet.ready(B, 1.0)
    assert fleet.create(ticket(1), B, C, 1.0) == [ClaimSpare(B), Done(ticket(1), B)]
    assert fleet.create(ticket(2), B, C, 1.0) == [Refuse(ticket(2), EXISTS, f"cluster {B} exists")]


def test_without_a_spare_a_new_cluster_is_started_and_leaves_nothing_when_it_cannot() -> None:
    fleet = fleet_with()
    assert fleet.create(ticket(1), A, C, 0.0) == [StartCluster(A, is_new=True, is_spare=False)]
    assert fleet.ended(A, "no", 1.0) == [RemoveFiles(A), Refuse(ticket(1), UNAVAILABLE, "no")]
    assert fleet.create(ticket(2), None, C, 2.0) == [StartCluster(C, is_new=True, is_spare=False)]


def test_deleting_ends_the_processes_first() -> None:
    fleet = fleet_with(A, B)
    wake(fleet, A)
    assert fleet.delete(ticket(2), A) == [StopCluster(A)]
    assert fleet.start(ticket(3), A, 1.0) == [Refuse(ticket(3), NO_SUCH_CLUSTER, f"cluster {A} is being deleted")]
    assert fleet.ended(A, None, 2.0) == [RemoveFiles(A), Done(ticket(2), A)]
    assert fleet.delete(ticket(4), B) == [RemoveFiles(B), Done(ticket(4), B)]
    assert fleet.delete(ticket(5), B) == [Done(ticket(5), B)]


def test_a_cluster_with_other_clients_does_not_sleep() -> None:
    fleet = fleet_with(A)
    fleet.keep_awake(A)
    wake(fleet, A)
    assert fleet.deadline is None
    assert fleet.tick(1e9) == []


ORDERS = ["create", "start", "stop", "delete", "served", "unserved", "ready", "ended", "failed", "busy", "idle", "tick"]
STEPS = st.lists(st.tuples(st.sampled_from(ORDERS), st.sampled_from([A, B, C]), st.floats(0, 2 * SLEEP_S)), max_size=80)


@settings(max_examples=examples(300))
@given(STEPS)
def test_whatever_happens_everybody_is_answered_once_and_no_cluster_runs_twice(
    steps: list[tuple[str, ClusterIdentifier, float]],
) -> None:
    """A world that does what it is told: only what runs can become ready or end."""
    fleet = fleet_with(A, spares=1)
    files, running, stopping = {A}, set[ClusterIdentifier](), set[ClusterIdentifier]()
    asked: list[Ticket] = []
    answered: Counter[Ticket] = Counter()
    now = 0.0

    def carry_out(effects: list[FleetEffect]) -> None:
        for effect in effects:
            match effect:
                case StartCluster(cluster, is_new, _):
                    assert cluster not in running
                    assert (cluster in files) != is_new
                    files.add(cluster)
                    running.add(cluster)
                case StopCluster(cluster):
                    assert cluster in running - stopping
                    stopping.add(cluster)
                case RemoveFiles(cluster):
                    assert cluster not in running
                    files.discard(cluster)
                case Done(answered_ticket, _) | Refuse(answered_ticket, _, _):
                    answered[answered_ticket] += 1
                case MakeSpare():
                    carry_out(fleet.add_spare(ClusterIdentifier(f"{len(asked):026}")))
                case ClaimSpare(cluster):
                    assert cluster in running

    def end(cluster: ClusterIdentifier, problem: str | None) -> None:
        running.discard(cluster)
        stopping.discard(cluster)
        carry_out(fleet.ended(cluster, problem, now))

    for kind, cluster, pause in steps:
        now += pause
        asking = ticket(len(asked))
        if kind in ("create", "start", "stop", "delete"):
            asked.append(asking)
        match kind:
            case "create":
                fresh = ClusterIdentifier(f"z{len(asked):025}")
                carry_out(fleet.create(asking, None if pause > SLEEP_S else cluster, fresh, now))
            case "start":
                carry_out(fleet.start(asking, cluster, now))
            case "stop":
                carry_out(fleet.stop(asking, cluster))
            case "delete":
                carry_out(fleet.delete(asking, cluster))
            case "served" | "unserved" if cluster in running:
                carry_out(fleet.served(cluster, is_served=kind == "served"))
            case "ready" if cluster in running:
                carry_out(fleet.ready(cluster, now))
            case "ended" if cluster in stopping:
                end(cluster, None)
            case "failed" if cluster in running:
                end(cluster, "it failed")
            case "busy" | "idle" if cluster in running:
                fleet.sessions(cluster, int(kind == "busy"), now)
            case "tick":
                carry_out(fleet.tick(now))
    # Whatever still runs comes up, or goes down as it was told.
    while any(answered[each] == 0 for each in asked):
        for cluster in sorted(running):
            if cluster in stopping:
                end(cluster, None)
            else:
                carry_out(fleet.ready(cluster, now))
                carry_out(fleet.served(cluster, is_served=True))
    assert set(answered) == set(asked)
    assert all(count == 1 for count in answered.values())
    assert all(member.state is not ClusterState.ASLEEP or member.cluster not in running for member in fleet.members())

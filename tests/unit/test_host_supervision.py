"""The order in which a host starts, restarts and stops its processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from borealis.host.supervision import (
    PATIENCE_S,
    PAUSE_FIRST_S,
    PAUSE_MAX_S,
    SETTLED_S,
    SEVERITY_MAX,
    Announce,
    Effect,
    Finish,
    Group,
    GroupEnded,
    GroupReady,
    Log,
    Start,
    Stop,
    Supervision,
    pause_before_restart,
)

STAGES = [["transactions"], ["storage"], ["instance-1", "instance-2"]]
NAMES = [name for stage in STAGES for name in stage]


def without_logs(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Log)]


def running(stages: list[list[str]] = STAGES) -> Group:
    """Everything is ready at time 0."""
    supervision = Group("c", stages)
    supervision.begin(0.0)
    for stage in stages:
        for name in stage:
            supervision.ready(name, 0.0)
    return supervision


def test_a_stage_starts_when_the_one_before_is_ready() -> None:
    supervision = Group("c", STAGES)
    assert supervision.begin(0.0) == [Start("transactions")]
    assert supervision.ready("transactions", 1.0) == [Announce("transactions"), Start("storage")]
    assert supervision.ready("storage", 2.0) == [Announce("storage"), Start("instance-1"), Start("instance-2")]
    assert supervision.ready("instance-2", 3.0) == [Announce("instance-2")]
    assert supervision.ready("instance-1", 3.0) == [Announce("instance-1"), GroupReady("c")]


def test_an_eager_service_starts_with_the_first_stage_and_stops_in_its_own() -> None:
    group = Group("c", [["storage"], ["instance"], ["front"]], {"front"})
    assert group.begin(0.0) == [Start("storage"), Start("front")]
    assert group.ready("front", 0.1) == [Announce("front")]
    assert group.ready("storage", 0.2) == [Announce("storage"), Start("instance")]
    assert group.ready("instance", 0.3) == [Announce("instance"), GroupReady("c")]
    assert group.stop(1.0) == [Stop("front", 0)]
    assert group.exited("front", "status 0", 1.1) == [Stop("instance", 0)]


def test_stopping_goes_down_the_stages_and_waits_for_each() -> None:
    supervision = running()
    assert supervision.stop(1.0) == [Stop("instance-1", 0), Stop("instance-2", 0)]
    assert supervision.exited("instance-1", "status 0", 1.1) == []
    assert supervision.exited("instance-2", "status 0", 1.1) == [Stop("storage", 0)]
    assert supervision.exited("storage", "status 0", 1.2) == [Stop("transactions", 0)]
    assert supervision.exited("transactions", "status 0", 1.3) == [GroupEnded("c", None)]


def test_a_service_that_ends_is_started_again_at_once_and_then_after_growing_pauses() -> None:
    supervision = running()
    assert without_logs(supervision.exited("storage", "signal 9", 1.0)) == [Start("storage")]
    assert without_logs(supervision.exited("storage", "signal 9", 1.1)) == []
    assert supervision.deadline == 1.1 + PAUSE_FIRST_S
    assert supervision.tick(1.1) == []
    assert supervision.tick(1.1 + PAUSE_FIRST_S) == [Start("storage")]
    assert supervision.ready("storage", 2.0) == [Log("storage is back")]


def test_a_service_that_lived_long_has_recovered() -> None:
    supervision = running()
    for _ in range(5):
        supervision.exited("storage", "signal 9", 1.0)
        supervision.tick(100.0)
    supervision.ready("storage", 100.0)
    assert without_logs(supervision.exited("storage", "signal 9", 100.0 + SETTLED_S)) == [Start("storage")]


def test_pauses_are_bounded() -> None:
    pauses = [pause_before_restart(failures) for failures in range(1, 2000)]
    assert pauses[0] == 0.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MAX_S


def test_a_service_that_never_was_ready_stops_its_group() -> None:
    supervision = Group("c", STAGES)
    supervision.begin(0.0)
    supervision.ready("transactions", 0.1)
    effects = supervision.exited("storage", "status 1", 0.2)
    assert effects == [Log("storage could not start: status 1"), Stop("transactions", 0)]
    assert supervision.exited("transactions", "status 0", 0.3) == [GroupEnded("c", "storage could not start: status 1")]


def test_a_service_that_does_not_stop_is_ended_harder() -> None:
    supervision = running([["storage"]])
    assert supervision.stop(0.0) == [Stop("storage", 0)]
    assert supervision.tick(PATIENCE_S) == [Stop("storage", 1)]
    assert supervision.stop(PATIENCE_S) == [Stop("storage", SEVERITY_MAX)]
    assert supervision.tick(3 * PATIENCE_S) == [Stop("storage", SEVERITY_MAX)]


def test_patience_with_a_lower_stage_begins_when_it_is_asked_to_stop() -> None:
    supervision = running()
    supervision.exited("storage", "signal 9", 1.0)
    supervision.stop(2.0)
    assert supervision.tick(1.0 + PATIENCE_S) == []


def test_stopping_gives_up_a_pending_restart() -> None:
    supervision = running()
    supervision.exited("storage", "signal 9", 1.0)
    supervision.exited("storage", "signal 9", 1.1)
    supervision.stop(1.1)
    for name in ("instance-1", "instance-2"):
        effects = supervision.exited(name, "status 0", 1.2)
    assert effects == [Stop("transactions", 0)]
    assert supervision.tick(1000.0) == [Stop("transactions", 1)]


CLUSTERS = {f"c{n}": [[f"c{n}/{name}" for name in stage] for stage in STAGES] for n in (1, 2)}
SERVICES = [["relay", "control"]]


def start_all(supervision: Supervision, *groups: str) -> None:
    for group in groups:
        stages = SERVICES if group == "services" else CLUSTERS[group]
        supervision.start(group, stages, 0.0, is_vital=group != "c2", is_outer=group == "services")
        for stage in stages:
            for name in stage:
                supervision.ready(name, 0.0)


def end_all(supervision: Supervision, names: list[str], now: float) -> list[Effect]:
    return [effect for name in names for effect in supervision.exited(name, "status 0", now)]


def test_the_front_door_ends_first_and_then_all_clusters_at_once() -> None:
    supervision = Supervision()
    start_all(supervision, "services", "c1", "c2")
    assert supervision.stop(1.0) == [Stop("relay", 0), Stop("control", 0)]
    last_stage = [Stop(f"c{n}/instance-{m}", 0) for n in (1, 2) for m in (1, 2)]
    assert end_all(supervision, ["relay", "control"], 1.1) == [GroupEnded("services", None), *last_stage]
    for n in (1, 2):
        end_all(supervision, [f"c{n}/instance-2", f"c{n}/instance-1", f"c{n}/storage"], 1.2)
    assert end_all(supervision, ["c2/transactions"], 1.3) == [GroupEnded("c2", None)]
    assert end_all(supervision, ["c1/transactions"], 1.4) == [GroupEnded("c1", None), Finish(has_failed=False)]


def test_a_cluster_that_cannot_start_does_not_end_the_others() -> None:
    supervision = Supervision()
    start_all(supervision, "services", "c1")
    supervision.start("c2", CLUSTERS["c2"], 1.0)
    problem = "c2/transactions could not start: status 1"
    effects = supervision.exited("c2/transactions", "status 1", 1.1)
    assert effects == [Log(problem), GroupEnded("c2", problem)]
    assert supervision.is_ready("c1/storage")
    assert supervision.start("c2", CLUSTERS["c2"], 2.0) == [Start("c2/transactions")]


def test_the_host_ends_when_it_cannot_start_what_it_must_but_not_once_it_could() -> None:
    supervision = Supervision()
    start_all(supervision, "c1")
    supervision.stop_group("c1", 1.0)
    end_all(supervision, list(reversed([name for stage in CLUSTERS["c1"] for name in stage])), 1.1)
    assert not supervision.is_stopping
    supervision.start("c1", CLUSTERS["c1"], 2.0, is_vital=True)
    problem = "c1/transactions could not start: status 1"
    effects = supervision.exited("c1/transactions", "status 1", 2.1)
    assert effects == [Log(problem), GroupEnded("c1", problem), Finish(has_failed=True)]
    assert supervision.start("c2", CLUSTERS["c2"], 3.0) == []


EVENTS = st.lists(st.tuples(st.sampled_from(["ready", "exited", "tick", "stop"]), st.sampled_from(NAMES)), max_size=60)


@given(EVENTS)
def test_whatever_happens_each_service_runs_at_most_once_and_all_end_before_the_finish(
    events: list[tuple[str, str]],
) -> None:
    """A world that does what it is told: events about services that do not run cannot happen."""
    supervision = Group("c", STAGES)
    alive: set[str] = set()
    once_ready: set[str] = set()
    is_finished = False
    is_stopping = False

    def carry_out(effects: list[Effect]) -> None:
        nonlocal is_finished
        for effect in effects:
            assert not is_finished
            if isinstance(effect, Start):
                assert effect.name not in alive
                assert not is_stopping
                stage = next(number for number, names in enumerate(STAGES) if effect.name in names)
                assert all(name in once_ready for names in STAGES[:stage] for name in names)
                alive.add(effect.name)
            elif isinstance(effect, Stop):
                assert effect.name in alive
            elif isinstance(effect, GroupEnded):
                assert not alive
                is_finished = True

    now = 0.0
    carry_out(supervision.begin(now))
    for kind, name in events:
        now += 0.3
        if kind == "ready" and name in alive:
            once_ready.add(name)
            carry_out(supervision.ready(name, now))
        elif kind == "exited" and name in alive:
            alive.discard(name)
            is_stopping = is_stopping or name not in once_ready
            carry_out(supervision.exited(name, "status 1", now))
        elif kind == "tick":
            carry_out(supervision.tick(now))
        elif kind == "stop":
            is_stopping = True
            carry_out(supervision.stop(now))
    is_stopping = True
    if not is_finished:
        carry_out(supervision.stop(now))
    for name in reversed(NAMES):
        if name in alive:
            alive.discard(name)
            carry_out(supervision.exited(name, "status 0", now))
    assert is_finished

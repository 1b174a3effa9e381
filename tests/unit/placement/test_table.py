"""Which front takes a session: what the host told last counts, and fronts take turns."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from borealis.placement.table import FrontAddress, FrontId, PlacementTable

FRONTS = {
    cluster: [FrontAddress(FrontId(first + n), cluster, Path(f"/run/{cluster}/{n}")) for n in range(3)]
    for first, cluster in ((1, "a"), (11, "b"))
}


def test_sessions_go_round_the_fronts() -> None:
    table = PlacementTable()
    table.replace("a", FRONTS["a"])
    assert [table.choose("a") for _ in range(4)] == [*FRONTS["a"], FRONTS["a"][0]]
    assert table.choose("b") is None


def test_a_front_that_another_cluster_has_taken_over_is_not_forgotten_with_the_first() -> None:
    """Ids are given out again when a cluster is gone, and its last event may come late."""
    table = PlacementTable()
    reused = FrontAddress(FrontId(1), "b", Path("/run/b/0"))
    table.replace("a", FRONTS["a"])
    table.replace("b", [reused])
    table.replace("a", [])
    assert table.front(FrontId(1)) == reused


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sets(st.integers(0, 2))), max_size=20))
def test_the_table_is_what_was_told_last(told: list[tuple[str, set[int]]]) -> None:
    table, last = PlacementTable(), dict[str, list[FrontAddress]]()
    for cluster, numbers in told:
        last[cluster] = [FRONTS[cluster][number] for number in sorted(numbers)]
        table.replace(cluster, last[cluster])
    for cluster, fronts in FRONTS.items():
        known = last.get(cluster, [])
        assert {table.choose(cluster) for _ in fronts} == (set(known) or {None})
        assert [table.front(front.front_id) for front in fronts] == [f if f in known else None for f in fronts]
    table.forget()
    assert all(table.choose(cluster) is None for cluster in FRONTS)

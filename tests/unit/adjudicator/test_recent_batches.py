from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.recent_batches import GIANT_BATCH_BYTES, RECENT_BYTES_MAX, RecentBatches
from borealis.foundation.identifiers import Position


@given(st.lists(st.sampled_from([100, 200_000, GIANT_BATCH_BYTES, GIANT_BATCH_BYTES + 1]), max_size=40))
def test_what_is_covered_is_all_there(lengths: list[int]) -> None:
    recent = RecentBatches(Position(1000))
    batches = []
    at = 1000
    for length in lengths:
        batch = bytes(length)
        batches.append((at, batch))
        recent.add(Position(at), batch)
        at += length
    assert recent.covers(Position(at))
    assert recent.since(Position(at)) == []
    for number, (position, _) in enumerate(batches):
        if recent.covers(Position(position)):
            assert recent.since(Position(position)) == batches[number:]
    kept = [batch for batch in batches if recent.covers(Position(batch[0]))]
    assert sum(len(batch) for _, batch in kept) <= RECENT_BYTES_MAX
    assert not recent.covers(Position(999))


def test_what_is_forgotten_is_not_covered() -> None:
    recent = RecentBatches(Position(0))
    for position in (64, 72, 80):
        recent.add(Position(position), b"a" * 8)
    recent.forget(Position(80))
    assert not recent.covers(Position(72))
    assert recent.since(Position(80)) == [(80, b"a" * 8)]
    recent.forget(Position(88))
    assert recent.covers(Position(88))
    assert recent.since(Position(88)) == []


def test_a_follower_in_the_gap_between_segments_gets_the_next_batch() -> None:
    recent = RecentBatches(Position(0))
    recent.add(Position(64), b"a" * 8)
    recent.add(Position(4160), b"b" * 8)
    assert recent.since(Position(72)) == [(4160, b"b" * 8)]

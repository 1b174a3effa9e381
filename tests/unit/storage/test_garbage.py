"""Collection keeps exactly what readers at or above the horizon need."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.foundation.identifiers import Timestamp
from borealis.storage.garbage import sweep
from borealis.storage.ordered_map import OrderedMap, Table
from borealis.storage.stored_key import stored_key, timestamp_of
from tests.unit.storage.maps import KINDS, contents, open_map
from tests.unit.storage.versions import KEYS, Versions, as_stored, needed, scan, versions


@given(versions, st.integers(0, 31), st.integers(2, 7))
def test_a_sweep_in_slices_leaves_what_is_needed(entries: Versions, horizon: int, limit: int) -> None:
    stored = as_stored(entries)
    start: bytes | None = b""
    slices = 0
    while start is not None:
        piece = list(islice(scan(stored, start), limit))
        found = sweep(piece, Timestamp(horizon), is_all=len(piece) < limit)
        for key in found.garbage:
            del stored[key]
        start = found.resume
        slices += 1
        assert slices <= 2 * len(entries) + 1, "the sweep does not come to its end"
    assert stored == as_stored(needed(entries, horizon))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(versions, st.integers(0, 31), st.integers(1, 5), st.sampled_from(KEYS))
def test_a_key_is_cleared_in_slices(kind: str, entries: Versions, horizon: int, limit: int, key: bytes) -> None:
    with open_map(kind, as_stored(entries)) as ordered_map:
        is_all = False
        while not is_all:
            deleted, is_all = clear(ordered_map, key, horizon, limit)
            assert is_all or deleted == limit
        others = {name: value for name, value in entries.items() if name[0] != key}
        mine = {name: value for name, value in entries.items() if name[0] == key}
        assert contents(ordered_map)[Table.VERSIONS] == as_stored(others | needed(mine, horizon))


def clear(ordered_map: OrderedMap, key: bytes, horizon: int, limit: int) -> tuple[int, bool]:
    with ordered_map.write() as writer:
        deleted, left = writer.clear_keys([key], Timestamp(horizon), limit)
    assert left in ([], [key])
    return deleted, not left


@settings(deadline=None)
@given(versions, st.integers(0, 31), st.integers(1, 9), st.lists(st.sampled_from(KEYS), unique=True))
def test_both_maps_clear_the_same_of_many_keys(entries: Versions, horizon: int, limit: int, keys: list[bytes]) -> None:
    found = []
    for kind in KINDS:
        with open_map(kind, as_stored(entries)) as ordered_map:
            with ordered_map.write() as writer:
                done = writer.clear_keys(keys, Timestamp(horizon), limit)
            found.append((done, contents(ordered_map)))
    assert found[0] == found[1]


@settings(deadline=None)
@given(versions, st.integers(0, 31), st.integers(2, 7))
def test_both_maps_are_swept_the_same(entries: Versions, horizon: int, limit: int) -> None:
    """Slice by slice, to the end."""
    with open_map("memory", as_stored(entries)) as model, open_map("lmdb", as_stored(entries)) as ordered_map:
        resumes: list[bytes | None] = [b"", b""]
        while resumes[0] is not None and resumes[1] is not None:
            expected, resumes[0] = model.sweep(resumes[0], Timestamp(horizon), limit)
            deleted, resumes[1] = ordered_map.sweep(resumes[1], Timestamp(horizon), limit)
            assert deleted == expected
            assert contents(ordered_map) == contents(model)
        assert resumes == [None, None]
        assert contents(ordered_map)[Table.VERSIONS] == as_stored(needed(entries, horizon))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tombstone_outlives_the_versions_before_it(kind: str) -> None:
    """Deleting it first would bring them back to life for the readers in between."""
    key = KEYS[0]
    with open_map(kind, as_stored({(key, 1): b"a", (key, 2): b"b", (key, 3): b""})) as ordered_map:
        assert clear(ordered_map, key, horizon=9, limit=1) == (1, False)
        assert contents(ordered_map)[Table.VERSIONS] == as_stored({(key, 1): b"a", (key, 3): b""})
        assert clear(ordered_map, key, horizon=9, limit=1) == (2, True)
        assert contents(ordered_map)[Table.VERSIONS] == {}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(versions, st.integers(0, 31), st.integers(1, 5))
def test_a_dropped_relation_goes_up_to_its_drop(kind: str, entries: Versions, dropped_at: int, limit: int) -> None:
    other = b"\x10\0\0\0\x02z"
    with open_map(kind, as_stored(entries | {(other, 1): b"other relation"})) as ordered_map:
        is_all = False
        while not is_all:
            with ordered_map.write() as writer:
                deleted, is_all = writer.clear_relation(KEYS[0][:5], Timestamp(dropped_at), limit)
            assert is_all or deleted == limit
        kept = {name: value for name, value in entries.items() if name[1] > dropped_at}
        assert contents(ordered_map)[Table.VERSIONS] == as_stored(kept | {(other, 1): b"other relation"})


@given(st.binary(max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_newer_versions_come_first(key: bytes, one: int, other: int) -> None:
    first, second = stored_key(key, Timestamp(one)), stored_key(key, Timestamp(other))
    assert (first < second) == (one > other)
    assert timestamp_of(first) == one

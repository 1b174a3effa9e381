"""Both ordered maps behave as a dictionary that is sorted when it is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.storage.ordered_map import Table
from tests.examples import examples
from tests.unit.storage.maps import KINDS, open_map
from tests.unit.storage.versions import KEYS, as_stored

stored_keys = st.tuples(st.sampled_from(KEYS), st.integers(1, 9)).map(lambda name: next(iter(as_stored({name: b""}))))
entries = st.lists(st.tuples(stored_keys, st.sampled_from([0, 1, 5_000, 70_000])), max_size=8)
"""Keys, and how long their values are."""
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put over", "delete"]), entries, st.booleans()),
    max_size=8,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(30), deadline=None)
@given(steps=steps, start=stored_keys)
def test_as_a_sorted_dictionary(kind: str, steps: list, start: bytes) -> None:
    expected: dict[bytes, bytes] = {}
    with open_map(kind) as ordered_map:
        for action, sizes, is_aborted in steps:
            changes = [(key, b"v" * size) for key, size in sizes]
            before = dict(expected)
            try:
                with ordered_map.write() as writer:
                    if action == "delete":
                        writer.delete(Table.VERSIONS, [key for key, _ in changes])
                        for key, _ in changes:
                            expected.pop(key, None)
                    elif action == "put":
                        writer.put(Table.VERSIONS, changes)
                        expected.update(changes)
                    else:
                        unique = sorted(dict(changes).items())
                        covered = writer.put_versions_over(unique)
                        expected.update(unique)
                        assert sorted(covered) == sorted(key for key, _ in unique if has_older(expected, key))
                    assert list(writer.scan(Table.VERSIONS, b"")) == sorted(expected.items())
                    if is_aborted:
                        raise InterruptedError
            except InterruptedError:
                expected = before
        with ordered_map.read() as reader:
            found = [item for item in sorted(expected.items()) if item[0] >= start]
            assert list(reader.scan(Table.VERSIONS, start)) == found
            assert reader.get(Table.VERSIONS, start) == expected.get(start)


def has_older(entries: dict[bytes, bytes], stored: bytes) -> bool:
    return any(other[:-8] == stored[:-8] and other > stored for other in entries)

"""Versions of a few keys, and what readers see of them: the naive model that storage's decisions are compared with."""

from collections.abc import Iterable

from hypothesis import strategies as st

from borealis.foundation.identifiers import Timestamp
from borealis.storage.stored_key import stored_key

KEYS = [b"\x10\0\0\0\x01" + suffix for suffix in (b"a", b"b", b"cc", b"d\0", b"d\xff")]

Versions = dict[tuple[bytes, int], bytes]

versions = st.dictionaries(
    st.tuples(st.sampled_from(KEYS), st.integers(1, 30)), st.sampled_from([b"", b"x", b"long value"]), max_size=40
)


def as_stored(entries: Versions) -> dict[bytes, bytes]:
    return {stored_key(key, Timestamp(timestamp)): value for (key, timestamp), value in entries.items()}


def visible(entries: Versions, timestamp: int) -> dict[bytes, bytes]:
    """What a reader at `timestamp` sees."""
    newest: dict[bytes, int] = {}
    for key, committed in entries:
        if committed <= timestamp:
            newest[key] = max(committed, newest.get(key, 0))
    return {key: entries[key, committed] for key, committed in newest.items() if entries[key, committed]}


def needed(entries: Versions, horizon: int) -> Versions:
    """What must stay for readers at or above the horizon, and nothing else."""
    kept = {name: value for name, value in entries.items() if name[1] > horizon}
    for key in {key for key, _ in entries}:
        old = [committed for other, committed in entries if other == key and committed <= horizon]
        if old and entries[key, max(old)]:
            kept[key, max(old)] = entries[key, max(old)]
    return kept


def scan(stored: dict[bytes, bytes], start: bytes = b"") -> Iterable[tuple[bytes, bool]]:
    return ((key, not stored[key]) for key in sorted(stored) if key >= start)

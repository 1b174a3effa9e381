"""Which versions nobody can need any more. Pure.

At a horizon H every reader, now and later, reads at a timestamp of at least H. Of each key the newest version at or
below H must therefore stay, the ones before it may go; and when that newest version is a tombstone it may go as well,
together with or after the last version before it, never earlier: alone, it would bring an older version back to life.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import Protocol

from borealis.foundation.identifiers import Timestamp
from borealis.storage.stored_key import TIMESTAMP_BYTES, timestamp_suffix


class VersionCursor(Protocol):
    """A place among the versions of a map, as LMDB's cursors have it."""

    def set_range(self, stored: bytes) -> bool:
        """To the first version at or after `stored`; False if there is none."""
        ...

    def set_key(self, stored: bytes) -> bool:
        """To exactly this version; False if it is not there."""
        ...

    def key(self) -> bytes | memoryview:
        """The stored key; empty behind the last version."""
        ...

    def value(self) -> bytes | memoryview: ...

    def next(self) -> bool: ...

    def delete(self) -> bool:
        """Delete the version; the cursor is then at the next one, or behind the last."""
        ...


@dataclass(slots=True)
class Found:
    """Stored keys to delete, all in one transaction, and where to look on (None: the scan came to its end)."""

    garbage: list[bytes] = field(default_factory=list)
    examined: int = 0
    resume: bytes | None = None


def clear_key(cursor: VersionCursor, key: bytes, horizon_suffix: bytes, limit: int) -> tuple[int, bool]:
    """Delete the garbage of one key, at most `limit` versions and a tombstone: how many, and whether that is all."""
    if not cursor.set_range(key + horizon_suffix):
        return 0, True
    newest = bytes(cursor.key())
    if newest[:-TIMESTAMP_BYTES] != key:
        return 0, True
    is_tombstone = not cursor.value()
    deleted = 0
    cursor.next()
    while bytes(cursor.key())[:-TIMESTAMP_BYTES] == key:
        if deleted >= limit:
            return deleted, False
        cursor.delete()
        deleted += 1
    if is_tombstone and cursor.set_key(newest):
        cursor.delete()
        deleted += 1
    return deleted, True


def sweep(versions: Sequence[tuple[bytes, bool]], horizon: Timestamp, is_all: bool) -> Found:
    """Garbage of every key within a piece of a scan over the whole map; `is_all`: there is nothing behind the piece.

    What belongs to its last key is left for the next call, which must scan from `resume`, unless it is very much.
    """
    keys = [stored[:-TIMESTAMP_BYTES] for stored, _ in versions]
    # Most pieces hold nothing but keys with one version each: found without looking at them one by one.
    has_work = any(map(eq, keys, keys[1:])) or any(is_tombstone for _, is_tombstone in versions)
    if not has_work and not is_all:
        return Found(examined=len(versions) - 1, resume=versions[-1][0])
    found = Found(examined=len(versions))
    horizon_suffix = timestamp_suffix(horizon)
    key = b""
    is_anchored = False
    anchor_tombstone: bytes | None = None
    for stored_key, (stored, is_tombstone) in zip(keys, versions, strict=True):
        if stored_key != key:
            if anchor_tombstone is not None:
                found.garbage.append(anchor_tombstone)
            key, is_anchored, anchor_tombstone = stored_key, False, None
        if is_anchored:
            found.garbage.append(stored)
        elif stored[-TIMESTAMP_BYTES:] >= horizon_suffix:
            is_anchored = True
            anchor_tombstone = stored if is_tombstone else None
    if is_all:
        if anchor_tombstone is not None:
            found.garbage.append(anchor_tombstone)
    else:
        # Resume at the version that must stay: what follows it is garbage as well.
        found.resume = key + horizon_suffix if is_anchored else versions[-1][0]
    return found


def clear_relation(cursor: VersionCursor, prefix: bytes, dropped_at: Timestamp, limit: int) -> tuple[int, bool]:
    """Delete what is under a prefix and not newer than the drop, at most `limit`: how many, and whether that is all."""
    drop_suffix = timestamp_suffix(dropped_at)
    deleted = 0
    cursor.set_range(prefix)
    while (stored := bytes(cursor.key())).startswith(prefix):
        if deleted >= limit:
            return deleted, False
        if stored[-TIMESTAMP_BYTES:] >= drop_suffix:
            cursor.delete()
            deleted += 1
        else:
            cursor.next()
    return deleted, True

"""Which versions nobody can need any more. Pure.

At a horizon H every reader, now and later, reads at a timestamp of at least H. Of each key the newest version at or
below H must therefore stay, the ones before it may go; and when that newest version is a tombstone it may go as well,
together with or after the last version before it, never earlier: alone, it would bring an older version back to life.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from borealis.foundation.identifiers import Timestamp
from borealis.storage.stored_key import TIMESTAMP_BYTES, key_of, timestamp_suffix


@dataclass(slots=True)
class Found:
    """Stored keys to delete, all in one transaction, and where to look on (None: the scan came to its end)."""

    garbage: list[bytes] = field(default_factory=list)
    examined: int = 0
    resume: bytes | None = None


def find_garbage_of_key(key: bytes, versions: Iterable[tuple[bytes, bool]], limit: int) -> tuple[list[bytes], bool]:
    """Garbage among the versions of one key, and whether that is all of it.

    `versions` starts at the newest version at or below the horizon and may run on into other keys. At most `limit`
    stored keys are returned.
    """
    garbage: list[bytes] = []
    anchor_tombstone: bytes | None = None
    is_anchored = False
    for stored, is_tombstone in versions:
        if stored[:-TIMESTAMP_BYTES] != key:
            break
        if not is_anchored:
            is_anchored = True
            anchor_tombstone = stored if is_tombstone else None
        elif len(garbage) >= limit:
            return garbage, False
        else:
            garbage.append(stored)
    if anchor_tombstone is not None:
        garbage.append(anchor_tombstone)
    return garbage, True


def sweep(versions: Iterable[tuple[bytes, bool]], horizon: Timestamp, limit: int) -> Found:
    """Garbage of every key within the next `limit` entries of a scan over the whole map.

    The part of a key that reaches past the limit is left for the next call, which must scan from `resume`.
    """
    horizon_suffix = timestamp_suffix(horizon)
    found = Found()
    key = b""
    is_anchored = False
    anchor_tombstone: bytes | None = None
    for stored, is_tombstone in versions:
        stored_key, suffix = stored[:-TIMESTAMP_BYTES], stored[-TIMESTAMP_BYTES:]
        if stored_key != key:
            if anchor_tombstone is not None:
                found.garbage.append(anchor_tombstone)
            key, is_anchored, anchor_tombstone = stored_key, False, None
        if found.examined >= limit:
            # Resume inside the key, at the version that must stay: what follows it is garbage then as well.
            found.resume = stored if not is_anchored else key + horizon_suffix
            return found
        found.examined += 1
        if is_anchored:
            found.garbage.append(stored)
        elif suffix >= horizon_suffix:
            is_anchored = True
            anchor_tombstone = stored if is_tombstone else None
    if anchor_tombstone is not None:
        found.garbage.append(anchor_tombstone)
    return found


def find_dropped(
    versions: Iterable[tuple[bytes, bool]], prefix: bytes, dropped_at: Timestamp, limit: int
) -> tuple[list[bytes], bool]:
    """Stored keys under `prefix` written at or before the drop, and whether that is all of them."""
    drop_suffix = timestamp_suffix(dropped_at)
    garbage: list[bytes] = []
    for stored, _ in versions:
        if not key_of(stored).startswith(prefix):
            break
        if len(garbage) == limit:
            return garbage, False
        if stored[-TIMESTAMP_BYTES:] >= drop_suffix:
            garbage.append(stored)
    return garbage, True

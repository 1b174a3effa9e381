"""Reader slots: the read timestamps that the instances have in use (docs/formats.md, "Shared pages").

Files are read, not mapped: an instance that cuts its file short must not be able to kill this process. What they say
only decides how long conflicts are remembered; a wrong value costs needless refusals or memory, never correctness.
"""

import os
import struct
from pathlib import Path
from typing import Final

from borealis.foundation.identifiers import NO_TIMESTAMP, Timestamp

READERS_MAGIC: Final = b"BRLSRDR1"
HEADER_BYTES: Final = 64
SLOT_BYTES: Final = 16
SLOTS_MAX: Final = 65_536
_HEADER: Final = struct.Struct("<8sQ")
_SLOT: Final = struct.Struct("<QQ")


def oldest_timestamp(data: bytes) -> Timestamp | None:
    """The oldest read timestamp in the contents of a slot file; None if there is none."""
    if len(data) < HEADER_BYTES:
        return None
    magic, slots = _HEADER.unpack_from(data)
    if magic != READERS_MAGIC:
        return None
    whole = min(slots, (len(data) - HEADER_BYTES) // SLOT_BYTES) * SLOT_BYTES
    used = [timestamp for timestamp, _ in _SLOT.iter_unpack(data[HEADER_BYTES : HEADER_BYTES + whole]) if timestamp]
    return Timestamp(min(used)) if used else None


def read_oldest_timestamp(directory: Path) -> Timestamp:
    """The oldest read timestamp of all instances; 0 if nobody reads."""
    oldest: list[Timestamp] = []
    for path in directory.glob("instance-*.readers"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # the instance is just going away
        try:
            found = oldest_timestamp(os.pread(descriptor, HEADER_BYTES + SLOTS_MAX * SLOT_BYTES, 0))
        except OSError:
            continue
        finally:
            os.close(descriptor)
        if found is not None:
            oldest.append(found)
    return min(oldest, default=NO_TIMESTAMP)

"""Sizes of relations: the sum of the deltas that transactions report.

Kept as one version per relation that is written over in place: nobody needs an old size, and a version at timestamp 1
is seen at every timestamp.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from borealis.foundation.identifiers import I64_MAX, Relfilenode, Timestamp
from borealis.storage.apply import RelationSize
from borealis.storage.ordered_map import Entry, MapReader, Table
from borealis.storage.stored_key import statistics_key, stored_key

STATISTICS_TIMESTAMP: Final = Timestamp(1)
_SIZE: Final = struct.Struct("<qq")


@dataclass(slots=True)
class StatisticsChange:
    """What to write; `sizes` is to be handed back to `accept` once that is committed."""

    puts: list[Entry] = field(default_factory=list)
    sizes: dict[Relfilenode, tuple[int, int]] = field(default_factory=dict)


class RelationStatistics:
    """The size, (rows, bytes), of every relation that changed since the start."""

    def __init__(self) -> None:
        self._sizes: dict[Relfilenode, tuple[int, int]] = {}

    def change(self, reader: MapReader, deltas: Mapping[Relfilenode, RelationSize]) -> StatisticsChange:
        change = StatisticsChange()
        for relfilenode, delta in deltas.items():
            if not delta.rows and not delta.octets:
                continue
            stored = stored_key(statistics_key(relfilenode), STATISTICS_TIMESTAMP)
            known = self._sizes.get(relfilenode)
            rows, octets = known if known is not None else _read(reader, stored)
            size = change.sizes[relfilenode] = (_clamp(rows + delta.rows), _clamp(octets + delta.octets))
            change.puts.append((stored, _SIZE.pack(*size)))
        return change

    def accept(self, change: StatisticsChange) -> None:
        self._sizes.update(change.sizes)

    def forget(self, relfilenode: Relfilenode) -> None:
        self._sizes.pop(relfilenode, None)


def _read(reader: MapReader, stored: bytes) -> tuple[int, int]:
    value = reader.get(Table.VERSIONS, stored)
    return (0, 0) if value is None else _SIZE.unpack(value)


def _clamp(total: int) -> int:
    return max(0, min(total, I64_MAX))

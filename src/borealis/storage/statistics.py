"""Sizes of relations: the sum of the deltas that transactions report, kept as one version per relation.

Assumes that nobody needs an old size, so that the version before is deleted with the same transaction.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from borealis.foundation.identifiers import I64_MAX, Relfilenode, Timestamp
from borealis.storage.apply import RelationSize
from borealis.storage.ordered_map import Entry, MapReader, Table
from borealis.storage.stored_key import key_of, statistics_key, stored_key

_SIZE: Final = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class StoredSize:
    rows: int
    octets: int
    stored: bytes | None


@dataclass(slots=True)
class StatisticsChange:
    """What to write and delete; `sizes` is to be handed back to `accept` once that is committed."""

    puts: list[Entry] = field(default_factory=list)
    deletes: list[bytes] = field(default_factory=list)
    sizes: dict[Relfilenode, StoredSize] = field(default_factory=dict)


class RelationStatistics:
    """The newest size of every relation that changed since the start."""

    def __init__(self) -> None:
        self._sizes: dict[Relfilenode, StoredSize] = {}

    def change(
        self, reader: MapReader, deltas: Mapping[Relfilenode, RelationSize], timestamp: Timestamp
    ) -> StatisticsChange:
        change = StatisticsChange()
        for relfilenode, delta in deltas.items():
            if not delta.rows and not delta.octets:
                continue
            size = self._sizes.get(relfilenode) or _read(reader, relfilenode)
            stored = stored_key(statistics_key(relfilenode), timestamp)
            rows, length = _clamp(size.rows + delta.rows), _clamp(size.octets + delta.octets)
            change.puts.append((stored, _SIZE.pack(rows, length)))
            if size.stored is not None and size.stored != stored:
                change.deletes.append(size.stored)
            change.sizes[relfilenode] = StoredSize(rows, length, stored)
        return change

    def accept(self, change: StatisticsChange) -> None:
        self._sizes.update(change.sizes)

    def forget(self, relfilenode: Relfilenode) -> None:
        self._sizes.pop(relfilenode, None)


def _read(reader: MapReader, relfilenode: Relfilenode) -> StoredSize:
    key = statistics_key(relfilenode)
    for stored, value in reader.scan(Table.VERSIONS, key):
        if key_of(stored) == key:
            rows, octets = _SIZE.unpack(value)
            return StoredSize(rows, octets, stored)
        break
    return StoredSize(0, 0, None)


def _clamp(total: int) -> int:
    return max(0, min(total, I64_MAX))

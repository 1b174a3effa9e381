"""Sizes of relations: the sum of the deltas that transactions report.

The sums are exact, and kept in `meta`, on a page that every commit writes anyway. What query processors read is a copy
among the versions, written over in place at timestamp 1, which is seen at every timestamp. The copy is an estimate: it
follows a change at once that matters to it, and the others a moment later, since it costs two more pages.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from borealis.foundation.identifiers import I64_MAX, Relfilenode, Timestamp
from borealis.storage.apply import RelationSize
from borealis.storage.ordered_map import Entry, MapReader, Table
from borealis.storage.stored_key import statistics_key, stored_key

STATISTICS_TIMESTAMP: Final = Timestamp(1)
SUM_PREFIX: Final = b"size"
# A change matters from this part of what is published on: a planner does not care about less.
_CHANGE_THAT_MATTERS: Final = 64
_SIZE: Final = struct.Struct("<qq")


class Size(NamedTuple):
    rows: int
    octets: int


NO_SIZE: Final = Size(0, 0)


@dataclass(slots=True)
class StatisticsChange:
    """What to write where; to be handed back to `accept` once it is committed."""

    sums: dict[Relfilenode, Size] = field(default_factory=dict)
    published: dict[Relfilenode, Size] = field(default_factory=dict)

    def meta_entries(self) -> list[Entry]:
        return [(sum_key(relfilenode), _SIZE.pack(*size)) for relfilenode, size in self.sums.items()]

    def version_entries(self) -> list[Entry]:
        return [(_published_key(relfilenode), _SIZE.pack(*size)) for relfilenode, size in self.published.items()]


class RelationStatistics:
    """The sizes of all relations. They are in the map; what is known here is whose published size is behind."""

    def __init__(self, reader: MapReader, publishes_all: bool) -> None:
        """With `publishes_all` every change matters."""
        self._publishes_all = publishes_all
        self._unpublished: dict[Relfilenode, None] = {}
        for key, value in reader.scan(Table.META, SUM_PREFIX):
            if not key.startswith(SUM_PREFIX):
                break
            relfilenode = Relfilenode(int.from_bytes(key[len(SUM_PREFIX) :], "big"))
            if reader.get(Table.VERSIONS, _published_key(relfilenode)) != value:
                self._unpublished[relfilenode] = None

    @property
    def has_unpublished(self) -> bool:
        return bool(self._unpublished)

    def change(self, reader: MapReader, deltas: Mapping[Relfilenode, RelationSize]) -> StatisticsChange:
        change = StatisticsChange()
        for relfilenode, delta in deltas.items():
            if not delta.rows and not delta.octets:
                continue
            rows, octets = _decode(reader.get(Table.META, sum_key(relfilenode)))
            size = change.sums[relfilenode] = Size(_clamp(rows + delta.rows), _clamp(octets + delta.octets))
            published = _decode(reader.get(Table.VERSIONS, _published_key(relfilenode)))
            if self._publishes_all or _matters(size, published):
                change.published[relfilenode] = size
        return change

    def publish(self, reader: MapReader) -> StatisticsChange:
        """What is not published yet."""
        change = StatisticsChange()
        for relfilenode in list(self._unpublished):
            size = reader.get(Table.META, sum_key(relfilenode))
            if size is None:
                self.forget([relfilenode])  # dropped and collected
            else:
                change.published[relfilenode] = _decode(size)
        return change

    def accept(self, change: StatisticsChange) -> None:
        self.note_unpublished(change.sums)
        for relfilenode in change.published:
            self._unpublished.pop(relfilenode, None)

    def note_unpublished(self, relfilenodes: Iterable[Relfilenode]) -> None:
        """Somebody has changed their sums."""
        for relfilenode in relfilenodes:
            self._unpublished[relfilenode] = None

    def forget(self, relfilenodes: Iterable[Relfilenode]) -> None:
        """They have been dropped."""
        for relfilenode in relfilenodes:
            self._unpublished.pop(relfilenode, None)


def sum_key(relfilenode: Relfilenode) -> bytes:
    """Key in `meta`."""
    return SUM_PREFIX + relfilenode.to_bytes(4, "big")


def _published_key(relfilenode: Relfilenode) -> bytes:
    return stored_key(statistics_key(relfilenode), STATISTICS_TIMESTAMP)


def _decode(value: bytes | None) -> Size:
    return NO_SIZE if value is None else Size._make(_SIZE.unpack(value))


def _matters(size: Size, published: Size) -> bool:
    return any(
        abs(now - then) * _CHANGE_THAT_MATTERS >= then and now != then
        for now, then in zip(size, published, strict=True)
    )


def _clamp(total: int) -> int:
    return max(0, min(total, I64_MAX))

"""The conflict window: which keys were touched lately, when, and in which class (docs/formats.md, conflict matrix).

Owns the memory that "first committer wins" needs. Promises: a transaction is found in conflict exactly when another one
that committed after its read timestamp touched one of its keys in a class that excludes its own; memory stays below a
named bound. What has been forgotten is covered by `floor`: a transaction that read below it must be refused unseen.

Keys are kept in generations, dropped whole. A generation is passed over once nothing in it is newer than the read
timestamp, so that a short transaction looks at the newest generation only.
"""

from collections.abc import Sequence, Set
from enum import IntEnum
from itertools import compress
from typing import Final, NamedTuple, TypeAlias

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, NO_TIMESTAMP, Timestamp
from borealis.wire.transaction_record import TABLE_KEY_BYTES, LockMode, Operation, TransactionRecord


class ConflictClass(IntEnum):
    EXCLUSIVE = 0
    UPDATE = 1
    SHARE = 2
    KEY_SHARE = 3
    TABLE = 4
    """Not a class of keys: the key names a table, and every row of it is meant."""


_CLASSES: Final = len(ConflictClass)

CONFLICTING: Final[tuple[tuple[int, ...], ...]] = (
    (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE, ConflictClass.SHARE, ConflictClass.KEY_SHARE),
    (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE, ConflictClass.SHARE),
    (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE),
    (ConflictClass.EXCLUSIVE,),
    (),
)
"""For each class, the classes that exclude it."""

_CLASS_OF_OPERATION: Final[dict[int, ConflictClass]] = {
    Operation.INSERT: ConflictClass.EXCLUSIVE,
    Operation.UPDATE: ConflictClass.UPDATE,
    Operation.KEY_UPDATE: ConflictClass.EXCLUSIVE,
    Operation.DELETE: ConflictClass.EXCLUSIVE,
}  # the unchecked operations have no class
_CLASS_OF_LOCK: Final[dict[int, ConflictClass]] = {
    LockMode.KEY_SHARE: ConflictClass.KEY_SHARE,
    LockMode.SHARE: ConflictClass.SHARE,
    LockMode.NON_KEY_UPDATE: ConflictClass.UPDATE,
    LockMode.EXCLUSIVE: ConflictClass.EXCLUSIVE,
}


def _selectors(class_of: dict[int, ConflictClass]) -> tuple[bytes, ...]:
    """For each class a table for bytes.translate that turns codes of that class into 1 and others into 0."""
    return tuple(bytes(class_of.get(code) == wanted for code in range(256)) for wanted in ConflictClass)


_OPERATION_SELECTORS: Final = _selectors(_CLASS_OF_OPERATION)
_LOCK_SELECTORS: Final = _selectors(_CLASS_OF_LOCK)
_CODES_OF_OPERATIONS: Final = tuple(
    bytes(code for code, its_class in _CLASS_OF_OPERATION.items() if its_class == wanted) for wanted in ConflictClass
)

Footprint: TypeAlias = list[tuple[int, Sequence[bytes]]]
"""The keys that a transaction touches, by class; a class occurs at most twice, an empty one not at all."""

_ROW_WRITES: Final = (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE)

# What a key costs in a generation besides its own bytes: object header, hash table entry, share of the timestamp.
_KEY_OVERHEAD_BYTES: Final = 150


def footprint_of(record: TransactionRecord) -> Footprint:
    footprint: Footprint = []
    operations = record.operations
    if operations:
        for conflict_class in (ConflictClass.UPDATE, ConflictClass.EXCLUSIVE):
            others = operations.strip(_CODES_OF_OPERATIONS[conflict_class])
            if not others:
                footprint.append((conflict_class, record.keys))
                break
            keys = list(compress(record.keys, operations.translate(_OPERATION_SELECTORS[conflict_class])))
            if keys:
                footprint.append((conflict_class, keys))
    if record.lock_modes:
        for lock_class, selector in enumerate(_LOCK_SELECTORS):
            keys = list(compress(record.lock_keys, record.lock_modes.translate(selector)))
            if keys:
                footprint.append((lock_class, keys))
        if record.catalog_entry:
            tables = [key for key in record.lock_keys if len(key) == TABLE_KEY_BYTES]
            if tables:
                footprint.append((ConflictClass.TABLE, tables))
    return footprint


class Generation:
    """Keys touched during one stretch of time; for each class, key → newest commit timestamp."""

    __slots__ = ("cost_bytes", "newest", "oldest", "touched")

    def __init__(self) -> None:
        self.touched: list[dict[bytes, Timestamp]] = [{} for _ in range(_CLASSES)]
        self.newest = NO_TIMESTAMP
        self.oldest = NO_TIMESTAMP
        self.cost_bytes = 0

    def touch(self, footprint: Footprint, timestamp: Timestamp) -> None:
        for conflict_class, keys in footprint:
            fresh = dict.fromkeys(keys, timestamp)
            if self.touched[conflict_class]:
                self.touched[conflict_class].update(fresh)
            else:
                self.touched[conflict_class] = fresh
        self.newest = timestamp
        if not self.oldest:
            self.oldest = timestamp

    def find_conflict(self, footprint: Footprint, read_timestamp: Timestamp) -> bytes | None:
        """A key of the footprint that was touched in an excluding class after `read_timestamp`."""
        for conflict_class, keys in footprint:
            if conflict_class == ConflictClass.TABLE:
                row = self._find_row(frozenset(keys), read_timestamp)
                if row is not None:
                    return row
            for excluding in CONFLICTING[conflict_class]:
                touched = self.touched[excluding]
                if touched and not touched.keys().isdisjoint(keys):
                    for key in keys:
                        if touched.get(key, NO_TIMESTAMP) > read_timestamp:
                            return key
        return None

    def _find_row(self, tables: Set[bytes], read_timestamp: Timestamp) -> bytes | None:
        """A row of one of the tables that was written after `read_timestamp`. Looks at everything: for DDL only."""
        for written in _ROW_WRITES:
            for key, timestamp in self.touched[written].items():
                if timestamp > read_timestamp and len(key) > TABLE_KEY_BYTES and key[:TABLE_KEY_BYTES] in tables:
                    return key
        return None

    def absorb(self, later: "Generation") -> None:
        """Take over everything in a generation that is newer as a whole, and that nobody changes any more."""
        for conflict_class, theirs in enumerate(later.touched):
            if theirs:
                mine = self.touched[conflict_class]
                size_before = len(mine)
                if mine:
                    mine.update(theirs)
                else:
                    mine = self.touched[conflict_class] = theirs
                growth = len(mine) - size_before
                if growth:
                    average_key = sum(map(len, theirs)) // len(theirs)
                    self.cost_bytes += growth * (average_key + _KEY_OVERHEAD_BYTES)
        if later.newest:
            self.newest = later.newest
            self.oldest = self.oldest or later.oldest


class WindowLimits(NamedTuple):
    """How much the window remembers. It may be over its bound by the generation that is growing."""

    window_bytes_max: int = 512 * 2**20
    generation_bytes_max: int = 32 * 2**20
    generation_span_ns_max: int = 5 * NANOSECONDS_PER_SECOND


class ConflictWindow:
    """Generations, oldest first; the last one grows."""

    def __init__(self, floor: Timestamp, limits: WindowLimits) -> None:
        self._floor = floor
        self._limits = limits
        self._generations = [Generation()]

    @property
    def floor(self) -> Timestamp:
        """Conflicts with commits at or below it may have been forgotten."""
        return self._floor

    @property
    def cost_bytes(self) -> int:
        return sum(generation.cost_bytes for generation in self._generations)

    def find_conflict(self, footprint: Footprint, read_timestamp: Timestamp) -> bytes | None:
        """A key in conflict, or None. The caller has made sure that `read_timestamp` is not below the floor."""
        for generation in reversed(self._generations):
            if generation.newest <= read_timestamp:
                if generation.newest:
                    break
                continue
            key = generation.find_conflict(footprint, read_timestamp)
            if key is not None:
                return key
        return None

    def absorb(self, group: Generation) -> None:
        """Remember what a group of transactions touched, now that it is durable."""
        current = self._generations[-1]
        current.absorb(group)
        is_full = current.cost_bytes >= self._limits.generation_bytes_max
        if is_full or current.newest - current.oldest >= self._limits.generation_span_ns_max:
            self._generations.append(Generation())
            while self.cost_bytes > self._limits.window_bytes_max:
                self._forget_oldest()

    def forget(self, oldest_active: Timestamp) -> None:
        """Drop what no transaction can conflict with any more: all of them read at `oldest_active` or later."""
        while self._generations[0].newest and self._generations[0].newest <= oldest_active:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        generation = self._generations.pop(0)
        self._floor = max(self._floor, generation.newest)
        if not self._generations:
            self._generations.append(Generation())

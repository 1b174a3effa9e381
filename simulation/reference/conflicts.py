"""The conflict window: which keys were touched lately, when, and in which class (docs/formats.md, conflict matrix).

Owns the memory that "first committer wins" needs. Promises: a transaction is found in conflict exactly when another one
that committed after its read timestamp touched one of its keys in a class that excludes its own; memory stays below a
named bound. What has been forgotten is covered by `floor`: a transaction that read below it must be refused unseen.

Keys are kept in generations, dropped whole. A generation is passed over once nothing in it is newer than the read
timestamp, so that a short transaction looks at the newest generation only.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from borealis.adjudicator.limits import WindowLimits
from borealis.foundation.identifiers import NO_TIMESTAMP, Timestamp
from borealis.wire.transaction_record import TABLE_KEY_BYTES, LockMode, Operation, TransactionRecord


class ConflictClass(IntEnum):
    EXCLUSIVE = 0
    UPDATE = 1
    SHARE = 2
    KEY_SHARE = 3


CONFLICTING: Final = {
    ConflictClass.EXCLUSIVE: tuple(ConflictClass),
    ConflictClass.UPDATE: (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE, ConflictClass.SHARE),
    ConflictClass.SHARE: (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE),
    ConflictClass.KEY_SHARE: (ConflictClass.EXCLUSIVE,),
}
"""For each class, the classes that exclude it."""

CLASS_OF_OPERATION: Final[dict[int, ConflictClass]] = {
    Operation.INSERT: ConflictClass.EXCLUSIVE,
    Operation.UPDATE: ConflictClass.UPDATE,
    Operation.KEY_UPDATE: ConflictClass.EXCLUSIVE,
    Operation.DELETE: ConflictClass.EXCLUSIVE,
}  # the unchecked operations have no class
CLASS_OF_LOCK: Final[dict[int, ConflictClass]] = {
    LockMode.KEY_SHARE: ConflictClass.KEY_SHARE,
    LockMode.SHARE: ConflictClass.SHARE,
    LockMode.NON_KEY_UPDATE: ConflictClass.UPDATE,
    LockMode.EXCLUSIVE: ConflictClass.EXCLUSIVE,
}

ROW_WRITES: Final = (ConflictClass.EXCLUSIVE, ConflictClass.UPDATE)

KEY_OVERHEAD_BYTES: Final = 64
"""What a key costs in a generation besides its own bytes, however many classes it is touched in."""


class Footprint(NamedTuple):
    """What a transaction touches."""

    keys: list[tuple[ConflictClass, bytes]]
    tables: list[bytes]
    """Keys of whole tables, every row of which is meant: the locks of DDL."""


def footprint_of(record: TransactionRecord) -> Footprint:
    keys = [
        (CLASS_OF_OPERATION[operation], key)
        for operation, key in zip(record.operations, record.keys, strict=True)
        if operation in CLASS_OF_OPERATION
    ]
    keys += [(CLASS_OF_LOCK[mode], key) for mode, key in record.locks()]
    tables = [key for key in record.lock_keys if len(key) == TABLE_KEY_BYTES] if record.catalog_entry else []
    return Footprint(keys, tables)


class Generation:
    """Keys touched during one stretch of time: for each key and class, the newest commit timestamp."""

    def __init__(self) -> None:
        self.touched: dict[bytes, dict[ConflictClass, Timestamp]] = {}
        self.newest = NO_TIMESTAMP
        self.oldest = NO_TIMESTAMP

    @property
    def cost_bytes(self) -> int:
        return sum(len(key) + KEY_OVERHEAD_BYTES for key in self.touched)

    def touch(self, footprint: Footprint, timestamp: Timestamp) -> None:
        for conflict_class, key in footprint.keys:
            self.touched.setdefault(key, {})[conflict_class] = timestamp
        self.newest = timestamp
        self.oldest = self.oldest or timestamp

    def find_conflict(self, footprint: Footprint, read_timestamp: Timestamp) -> bytes | None:
        """A key of the footprint that was touched in an excluding class after `read_timestamp`."""
        for conflict_class, key in footprint.keys:
            touched = self.touched.get(key, {})
            if any(touched.get(excluding, 0) > read_timestamp for excluding in CONFLICTING[conflict_class]):
                return key
        return self._find_row(footprint.tables, read_timestamp) if footprint.tables else None

    def _find_row(self, tables: list[bytes], read_timestamp: Timestamp) -> bytes | None:
        """A row of one of the tables that was written after `read_timestamp`. Looks at everything: for DDL only."""
        for key, touched in self.touched.items():
            is_row = len(key) > TABLE_KEY_BYTES and key[:TABLE_KEY_BYTES] in tables
            if is_row and any(touched.get(written, 0) > read_timestamp for written in ROW_WRITES):
                return key
        return None

    def absorb(self, later: "Generation") -> None:
        """Take over everything in a generation that is newer as a whole."""
        for key, touched in later.touched.items():
            self.touched.setdefault(key, {}).update(touched)
        if later.newest:
            self.newest = later.newest
            self.oldest = self.oldest or later.oldest


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
            if generation.newest > read_timestamp:
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

"""What virtual clients write down: every attempt of a transaction, and every value of a sequence they were given."""

from dataclasses import dataclass, field
from enum import Enum

from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import CatalogVersion, Relfilenode, SchemaVersion, Timestamp, TransactionId


class Outcome(Enum):
    NOT_TRIED = "no commit was tried"
    READ_ONLY = "there was nothing to commit"
    COMMITTED = "committed"
    REJECTED = "certainly not committed"
    UNKNOWN = "may have committed"


@dataclass
class Attempt:
    """One transaction. Times are the world's, in nanoseconds; keys and values are those of the wire."""

    client: int
    began: int
    transaction_id: TransactionId
    read_timestamp: Timestamp = Timestamp(0)  # noqa: RUF009 - an int
    schema_version: SchemaVersion = SchemaVersion(0)  # noqa: RUF009 - an int
    reads: list[tuple[bytes, bytes | None]] = field(default_factory=list, repr=False)
    writes: list[tuple[int, bytes, bytes]] = field(default_factory=list, repr=False)
    locks: list[tuple[int, bytes]] = field(default_factory=list)
    appends: list[tuple[bytes, int]] = field(default_factory=list)
    catalog_entry: bytes = b""
    ended: int = 0
    outcome: Outcome = Outcome.NOT_TRIED
    commit_timestamp: Timestamp | None = None
    catalog_version: CatalogVersion | None = None
    reason: Reason | None = None


@dataclass
class Grant:
    """Values of a sequence that a client was given."""

    relfilenode: Relfilenode
    first: int
    granted: int
    increment: int

    def values(self) -> range:
        return range(self.first, self.first + self.granted * self.increment, self.increment)


@dataclass
class History:
    attempts: list[Attempt] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

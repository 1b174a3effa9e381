"""The identifiers that every role of the system shares, each a type of its own.

Owns their meaning and their limits; the byte layouts are in docs/formats.md. They cost nothing at run time: a checker
keeps a position from being passed where a timestamp is meant.
"""

from typing import Final, NewType

Timestamp = NewType("Timestamp", int)
"""Nanoseconds since the Unix epoch, u64; 0 is "none"."""

Position = NewType("Position", int)
"""Byte offset in the logical journal, u64; only ever grows."""

TransactionId = NewType("TransactionId", bytes)
"""16 random bytes, chosen by the query processor; names one attempt to commit."""

CatalogVersion = NewType("CatalogVersion", int)
"""Number of the newest catalog entry; an empty cluster is at 0."""

SchemaVersion = NewType("SchemaVersion", int)
"""Catalog version of the newest entry that invalidates running transactions."""

Relfilenode = NewType("Relfilenode", int)
"""Number of a relation's storage, u32, never 0."""

Epoch = NewType("Epoch", int)
"""Number of a lease of the transaction service, u64; grows with each lease."""

U32_MAX: Final = 2**32 - 1
U64_MAX: Final = 2**64 - 1
I64_MIN: Final = -(2**63)
I64_MAX: Final = 2**63 - 1

TRANSACTION_ID_BYTES: Final = 16
KEY_BYTES_MAX: Final = 1962

NO_TIMESTAMP: Final = Timestamp(0)
NANOSECONDS_PER_SECOND: Final = 1_000_000_000

"""Strategies for transaction records that obey every rule."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from borealis.foundation.identifiers import CatalogVersion, Relfilenode, SchemaVersion, Timestamp, TransactionId
from borealis.wire.transaction_record import LockMode, Operation, RelationDelta, encode_transaction

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
DELETES = (Operation.DELETE, Operation.DELETE_UNCHECKED)


def keys(namespaces: tuple[int, ...] = (0x10, 0x20)) -> st.SearchStrategy[bytes]:
    """Keys of rows and the like: longer than what stands for a whole table."""
    return st.builds(
        lambda namespace, relfilenode, tail: struct.pack(">BI", namespace, relfilenode) + tail,
        st.sampled_from(namespaces),
        st.integers(1, 5),
        st.binary(min_size=1, max_size=12),
    )


@st.composite
def writes(draw: st.DrawFn) -> list[tuple[int, bytes, bytes]]:
    found = []
    for key in draw(st.lists(keys(), max_size=8, unique=True)):
        operation = draw(st.sampled_from(list(Operation)))
        found.append((int(operation), key, b"" if operation in DELETES else draw(st.binary(min_size=1, max_size=20))))
    return found


@st.composite
def record_parts(draw: st.DrawFn) -> dict[str, Any]:
    entry = draw(st.binary(max_size=20))
    return {
        "transaction_id": TransactionId(draw(st.binary(min_size=16, max_size=16))),
        "read_timestamp": Timestamp(draw(U64)),
        "schema_version": SchemaVersion(draw(U64)),
        "writes": draw(writes()),
        "locks": draw(
            st.lists(st.tuples(st.sampled_from(list(LockMode)).map(int), keys((0x10, 0x20, 0x30, 0x40))), max_size=5)
        ),
        "catalog_entry": entry,
        "follows_catalog_version": CatalogVersion(draw(U64) if entry else 0),
        "invalidates_running": draw(st.booleans()) if entry else True,
        "dropped": draw(st.lists(st.integers(1, 2**32 - 1).map(Relfilenode), max_size=3)),
        "deltas": draw(
            st.lists(st.builds(RelationDelta, st.integers(1, 2**32 - 1).map(Relfilenode), I64, I64), max_size=3)
        ),
    }


def records() -> st.SearchStrategy[bytes]:
    return record_parts().map(lambda parts: encode_transaction(**parts))

"""The keys of the map: `key · inverted commit timestamp`, so that the newest version of a key comes first.

Formats: docs/formats.md, "Keys". Assumes that within one relfilenode no key is a prefix of another, which is what keeps
the versions of a key together.
"""

import struct
from typing import Final

from borealis.foundation.identifiers import U64_MAX, CatalogVersion, Relfilenode, Timestamp

ROW_NAMESPACE: Final = 0x10
INDEX_NAMESPACE: Final = 0x20
CATALOG_NAMESPACE: Final = 0x30
STATISTICS_NAMESPACE: Final = 0x40

TIMESTAMP_BYTES: Final = 8
_inverted = struct.Struct(">Q")
_relation = struct.Struct(">BI")
_catalog = struct.Struct(">BQ")


def timestamp_suffix(timestamp: Timestamp) -> bytes:
    """The last eight bytes of every key stored at `timestamp`; grows as the timestamp falls."""
    return _inverted.pack(U64_MAX - timestamp)


def stored_key(key: bytes, timestamp: Timestamp) -> bytes:
    return key + _inverted.pack(U64_MAX - timestamp)


def timestamp_of(stored: bytes) -> Timestamp:
    return Timestamp(U64_MAX - _inverted.unpack(stored[-TIMESTAMP_BYTES:])[0])


def key_of(stored: bytes) -> bytes:
    return stored[:-TIMESTAMP_BYTES]


def catalog_key(version: CatalogVersion) -> bytes:
    return _catalog.pack(CATALOG_NAMESPACE, version)


def statistics_key(relfilenode: Relfilenode) -> bytes:
    return _relation.pack(STATISTICS_NAMESPACE, relfilenode)


def relation_prefixes(relfilenode: Relfilenode) -> tuple[bytes, ...]:
    """What the stored keys of one relfilenode start with: its rows, its index entries, its statistics."""
    return tuple(
        _relation.pack(namespace, relfilenode) for namespace in (ROW_NAMESPACE, INDEX_NAMESPACE, STATISTICS_NAMESPACE)
    )

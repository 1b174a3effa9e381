"""The storage replica: follows the journal, keeps a multi-version copy in an LMDB map, publishes how far it is.

Promises: every commit at or below the published watermark is in the map, each exactly once, whatever process died when;
versions that a reader may still need stay. Query processors read the map themselves; nothing here answers reads.
"""

from borealis.storage.ordered_map import MemoryMap, OutOfRoom
from borealis.storage.replica import Replica
from borealis.storage.settings import StorageSettings

__all__ = ["MemoryMap", "OutOfRoom", "Replica", "StorageSettings"]

"""The clusters as other processes see them: read-only, cached, current at each look.

Promises that whatever the control service had committed before a call is what the call sees. Costs a few microseconds
while nothing changes; a change empties the cache.
"""

import sqlite3
from pathlib import Path
from typing import Final

from borealis.clusters.cluster import Cluster, Installation
from borealis.clusters.names import ClusterIdentifier
from borealis.clusters.rows import read_cluster, read_clusters, read_installation
from borealis.clusters.schema import VERSION
from borealis.foundation.errors import Unavailable
from borealis.foundation.metadata_file import ChangeWatch, open_for_reading

_EVERY: Final = "TRUE ORDER BY cluster.creation_time, cluster.identifier"


class ClusterView:
    """Of one thread. Opens the file at the first call that finds it: a reader may start before the control service.

    Every method raises Unavailable while the file is not there or cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._watch: ChangeWatch | None = None
        self._clusters: dict[ClusterIdentifier, Cluster] = {}

    def get(self, identifier: ClusterIdentifier) -> Cluster | None:
        """None if there is no such cluster: names that do not exist are looked up again each time, and kept nowhere."""
        try:
            connection = self._current()
            found = self._clusters.get(identifier)
            if found is None:
                found = read_cluster(connection, identifier)
                if found is not None:
                    self._clusters[identifier] = found
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error
        return found

    def every(self) -> list[Cluster]:
        """All of them, oldest first."""
        try:
            return list(read_clusters(self._current(), _EVERY))
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error

    def installation(self) -> Installation:
        try:
            found = read_installation(self._current())
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error
        if found is None:
            raise Unavailable(f"{self._path} is not complete yet")
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _current(self) -> sqlite3.Connection:
        if self._connection is None or self._watch is None:
            self._connection = open_for_reading(self._path, VERSION)
            self._watch = ChangeWatch(self._connection)
        # Before anything is read: what is committed meanwhile is noticed at the next look.
        if self._watch.has_changed():
            self._clusters.clear()
        return self._connection

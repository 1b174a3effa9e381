"""Clusters from the rows of the metadata file, for the store that writes it and the views that only read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from borealis.clusters.cluster import Cluster, ClusterStatus, Installation
from borealis.clusters.names import ClusterIdentifier
from borealis.foundation.identifiers import Timestamp

_COLUMNS: Final = (
    "cluster.identifier, cluster.account, cluster.region, installation.domain, status, status_reason, creation_time, "
    "deletion_protection, policy, policy_version, kms_key, metric_groups"
)


def read_clusters(
    connection: sqlite3.Connection, condition: str, parameters: tuple[object, ...] = ()
) -> Iterator[Cluster]:
    """Those that satisfy `condition`, which is the rest of an SQL statement after WHERE; never text from outside."""
    query = f"SELECT {_COLUMNS} FROM cluster, installation WHERE {condition}"
    with closing(connection.execute(query, parameters)) as cursor:
        rows = cursor.fetchall()
    for row in rows:
        yield _decode(row, read_tags(connection, row[0]))


def read_cluster(connection: sqlite3.Connection, identifier: ClusterIdentifier) -> Cluster | None:
    return next(read_clusters(connection, "cluster.identifier = ?", (identifier,)), None)


def read_tags(connection: sqlite3.Connection, identifier: ClusterIdentifier) -> dict[str, str]:
    with closing(connection.execute("SELECT key, value FROM tag WHERE identifier = ?", (identifier,))) as cursor:
        return dict(cursor.fetchall())


def read_installation(connection: sqlite3.Connection) -> Installation | None:
    with closing(connection.execute("SELECT account, region, domain FROM installation")) as cursor:
        row = cursor.fetchone()
    return None if row is None else Installation(*row)


def _decode(row: tuple[Any, ...], tags: dict[str, str]) -> Cluster:
    return Cluster(
        identifier=row[0],
        account=row[1],
        region=row[2],
        domain=row[3],
        status=ClusterStatus(row[4]),
        status_reason=row[5],
        creation_time=Timestamp(row[6]),
        deletion_protection=bool(row[7]),
        tags=tags,
        policy=row[8],
        policy_version=row[9],
        kms_key=row[10],
        metric_groups=tuple(row[11].split()),
    )

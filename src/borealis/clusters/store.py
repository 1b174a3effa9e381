"""The cluster metadata: the writing side, of which there is one, the control service.

Promises that a change is on the disk when its transaction ends and that everything inside one transaction happens or
nothing does. It keeps what it is told; what is allowed is decided by its callers (`life_cycle`, the API).
Of one thread.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from borealis.clusters.cluster import Cluster, ClusterStatus, Installation
from borealis.clusters.names import ClusterIdentifier
from borealis.clusters.rows import read_cluster, read_clusters
from borealis.clusters.schema import MIGRATIONS
from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.foundation.metadata_file import open_for_writing, write_transaction

# How long a client token is remembered.
TOKEN_AGE_NS_MAX: Final = 24 * 3600 * NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Where a list of clusters goes on: behind this one, whether it still exists or not."""

    creation_time: Timestamp
    identifier: ClusterIdentifier


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """What a request with a client token was answered; `parameters` is the SHA-256 of what it asked for."""

    account: str
    operation: str
    token: str
    parameters: bytes
    answer: str
    time: Timestamp


class ClusterStore:
    def __init__(self, path: Path, installation: Installation) -> None:
        """Raises Unavailable if the file is of a newer release."""
        self._connection = open_for_writing(path, MIGRATIONS)
        self._installation = installation
        with self.transaction():
            self._connection.execute(
                "INSERT INTO installation (one, account, region, domain) VALUES (1, ?, ?, ?) ON CONFLICT (one) "
                "DO UPDATE SET account = excluded.account, region = excluded.region, domain = excluded.domain",
                (installation.account, installation.region, installation.domain),
            )

    @property
    def installation(self) -> Installation:
        return self._installation

    def transaction(self) -> AbstractContextManager[None]:
        """Every change is made inside one; they do not nest."""
        return write_transaction(self._connection)

    def close(self) -> None:
        self._connection.close()

    # Clusters

    def get(self, identifier: ClusterIdentifier) -> Cluster | None:
        return read_cluster(self._connection, identifier)

    def page(self, account: str, after: ListPosition | None, count: int) -> list[Cluster]:
        """At most `count` of an account, oldest first."""
        position = after or ListPosition(Timestamp(-1), ClusterIdentifier(""))
        condition = "cluster.account = ? AND (creation_time, identifier) > (?, ?) ORDER BY creation_time, identifier"
        parameters = (account, position.creation_time, position.identifier, count)
        return list(read_clusters(self._connection, f"{condition} LIMIT ?", parameters))

    def unsettled(self) -> list[Cluster]:
        """Those that are on their way to another status, oldest first."""
        condition = "status IN ('CREATING', 'UPDATING', 'DELETING') ORDER BY creation_time, identifier"
        return list(read_clusters(self._connection, condition))

    def count(self, account: str) -> int:
        """One that is being deleted counts until it is gone."""
        with closing(self._connection.execute("SELECT count(*) FROM cluster WHERE account = ?", (account,))) as cursor:
            number: int = cursor.fetchone()[0]
        return number

    def add(self, cluster: Cluster) -> None:
        self._connection.execute(
            "INSERT INTO cluster (identifier, account, region, status, status_reason, creation_time, "
            "deletion_protection, policy, policy_version, kms_key, metric_groups) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(cluster.identifier, cluster.account, cluster.region, cluster.status, cluster.status_reason),
                *(cluster.creation_time, cluster.deletion_protection, cluster.policy, cluster.policy_version),
                *(cluster.kms_key, _encode_groups(cluster.metric_groups)),
            ),
        )
        self.put_tags(cluster.identifier, cluster.tags)

    def set_status(self, identifier: ClusterIdentifier, status: ClusterStatus, reason: str | None = None) -> None:
        self._update(identifier, "status = ?, status_reason = ?", (status, reason))

    def set_deletion_protection(self, identifier: ClusterIdentifier, is_protected: bool) -> None:
        self._update(identifier, "deletion_protection = ?", (is_protected,))

    def set_kms_key(self, identifier: ClusterIdentifier, key: str | None) -> None:
        self._update(identifier, "kms_key = ?", (key,))

    def set_metric_groups(self, identifier: ClusterIdentifier, groups: tuple[str, ...]) -> None:
        self._update(identifier, "metric_groups = ?", (_encode_groups(groups),))

    def set_policy(self, identifier: ClusterIdentifier, policy: str | None, version: int) -> None:
        self._update(identifier, "policy = ?, policy_version = ?", (policy, version))

    def put_tags(self, identifier: ClusterIdentifier, tags: Mapping[str, str]) -> None:
        """Adds them, or gives them these values; others stay."""
        self._connection.executemany(
            "INSERT INTO tag VALUES (?, ?, ?) ON CONFLICT (identifier, key) DO UPDATE SET value = excluded.value",
            [(identifier, key, value) for key, value in tags.items()],
        )

    def remove_tags(self, identifier: ClusterIdentifier, keys: Iterable[str]) -> None:
        self._connection.executemany(
            "DELETE FROM tag WHERE identifier = ? AND key = ?", [(identifier, key) for key in keys]
        )

    def remove(self, identifier: ClusterIdentifier) -> None:
        self._connection.execute("DELETE FROM cluster WHERE identifier = ?", (identifier,))

    def _update(self, identifier: ClusterIdentifier, changes: str, parameters: tuple[object, ...]) -> None:
        query = f"UPDATE cluster SET {changes} WHERE identifier = ?"
        if self._connection.execute(query, (*parameters, identifier)).rowcount != 1:
            raise InvariantViolation(f"cluster {identifier} vanished between a look and a change")

    # Client tokens

    def find_answer(self, account: str, operation: str, token: str, now: Timestamp) -> AnsweredRequest | None:
        query = "SELECT * FROM answered_request WHERE account = ? AND operation = ? AND token = ? AND time > ?"
        with closing(self._connection.execute(query, (account, operation, token, now - TOKEN_AGE_NS_MAX))) as cursor:
            row = cursor.fetchone()
        return None if row is None else AnsweredRequest(*row)

    def record_answer(self, request: AnsweredRequest) -> None:
        """In the transaction that did what was asked for. Forgets what is too old on the way."""
        self._connection.execute("DELETE FROM answered_request WHERE time <= ?", (request.time - TOKEN_AGE_NS_MAX,))
        self._connection.execute(
            "INSERT OR REPLACE INTO answered_request VALUES (?, ?, ?, ?, ?, ?)",
            (*(request.account, request.operation, request.token), *(request.parameters, request.answer, request.time)),
        )


def _encode_groups(groups: tuple[str, ...]) -> str:
    return " ".join(groups)

"""What is known of one cluster. Values only; `store` keeps them, `life_cycle` says how they change."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from borealis.clusters.names import ClusterArn, ClusterIdentifier, EndpointName
from borealis.foundation.identifiers import Timestamp


class ClusterStatus(StrEnum):
    """As the API of Aurora DSQL has them. IDLE and INACTIVE are never stored: the host knows what is awake."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    IDLE = "IDLE"
    INACTIVE = "INACTIVE"
    UPDATING = "UPDATING"
    DELETING = "DELETING"
    DELETED = "DELETED"
    FAILED = "FAILED"
    PENDING_SETUP = "PENDING_SETUP"
    PENDING_DELETE = "PENDING_DELETE"


_CONNECTABLE: Final = frozenset(
    {ClusterStatus.ACTIVE, ClusterStatus.IDLE, ClusterStatus.INACTIVE, ClusterStatus.UPDATING}
)


class EncryptionType(StrEnum):
    AWS_OWNED = "AWS_OWNED_KMS_KEY"
    CUSTOMER_MANAGED = "CUSTOMER_MANAGED_KMS_KEY"


class EncryptionStatus(StrEnum):
    ENABLED = "ENABLED"
    UPDATING = "UPDATING"
    KMS_KEY_INACCESSIBLE = "KMS_KEY_INACCESSIBLE"
    ENABLING = "ENABLING"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where clusters are made: what new ones are named after, and the domain of every endpoint."""

    account: str
    region: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    identifier: ClusterIdentifier
    account: str
    region: str
    domain: str
    status: ClusterStatus
    # Why it is FAILED, for the operator.
    status_reason: str | None = None
    creation_time: Timestamp
    deletion_protection: bool
    tags: Mapping[str, str]
    # The resource policy, verbatim; the version counts its changes and is never used twice.
    policy: str | None = None
    policy_version: int = 0
    # ARN of a key of the customer's; None for the service's own.
    kms_key: str | None = None
    metric_groups: tuple[str, ...] = ()

    @property
    def arn(self) -> ClusterArn:
        return ClusterArn(self.region, self.account, self.identifier)

    @property
    def endpoint(self) -> EndpointName:
        return EndpointName(self.identifier, self.region, self.domain)

    @property
    def is_connectable(self) -> bool:
        """Whether its clients may log in; it may have to be woken first."""
        return self.status in _CONNECTABLE

    @property
    def is_coming(self) -> bool:
        """Whether its clients may wait until they can log in."""
        return self.status is ClusterStatus.CREATING

    @property
    def encryption_type(self) -> EncryptionType:
        return EncryptionType.AWS_OWNED if self.kms_key is None else EncryptionType.CUSTOMER_MANAGED

    @property
    def encryption_status(self) -> EncryptionStatus:
        is_coming = self.status is ClusterStatus.CREATING and self.kms_key is not None
        return EncryptionStatus.ENABLING if is_coming else EncryptionStatus.ENABLED

"""Clusters as the API describes them. Pure."""

from typing import Any, Final

from borealis.clusters.cluster import Cluster, ClusterStatus
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp

_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000


def describe_summary(cluster: Cluster) -> dict[str, Any]:
    return {"identifier": cluster.identifier, "arn": str(cluster.arn)}


def describe_outcome(cluster: Cluster, status: ClusterStatus) -> dict[str, Any]:
    """`status` is what is shown, which says more than what is stored."""
    return {
        **describe_summary(cluster),
        "status": status.value,
        "creationTime": encode_instant(cluster.creation_time),
    }


def describe_details(cluster: Cluster, status: ClusterStatus) -> dict[str, Any]:
    encryption: dict[str, Any] = {
        "encryptionType": cluster.encryption_type.value,
        "encryptionStatus": cluster.encryption_status.value,
    }
    if cluster.kms_key is not None:
        encryption["kmsKeyArn"] = cluster.kms_key
    return {
        **describe_outcome(cluster, status),
        "deletionProtectionEnabled": cluster.deletion_protection,
        "encryptionDetails": encryption,
        "endpoint": str(cluster.endpoint),
        "metricGroups": [{"metricGroup": group} for group in cluster.metric_groups],
    }


def encode_instant(time: Timestamp) -> float:
    """Seconds, exact to the millisecond."""
    return time // _NANOSECONDS_PER_MILLISECOND / (NANOSECONDS_PER_SECOND // _NANOSECONDS_PER_MILLISECOND)

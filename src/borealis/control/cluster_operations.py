"""CreateCluster, GetCluster, UpdateCluster, DeleteCluster, ListClusters, GetVpcEndpointServiceName.

What they decide is stored before they answer; that the host follows is somebody else's work, which they only trigger
(`settle`). An operation may be repeated at any moment and finds what the one before left.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from borealis.clusters.cluster import Cluster, ClusterStatus
from borealis.clusters.life_cycle import can_change, can_delete, status_after_change
from borealis.clusters.names import ClusterArn, ClusterIdentifier, make_identifier
from borealis.clusters.store import ClusterStore
from borealis.control.call import Call
from borealis.control.cluster_answers import describe_details, describe_outcome, describe_summary
from borealis.control.errors import ApiError, ValidationReason, conflict, not_found, quota_exceeded, validation
from borealis.control.idempotency import perform_once
from borealis.control.parameters import (
    check_single_region,
    check_tag_keys,
    decode_list_token,
    encode_list_token,
    read_kms_key,
    read_metric_groups,
)
from borealis.control.permissions import ANYTHING, Permissions, read_policy

CLUSTER: Final = "cluster"
CLUSTER_QUOTA: Final = "clusters-per-account"
_PAGE_DEFAULT: Final = 100


@dataclass(frozen=True)
class Surroundings:
    """What the operations need of the rest of the process."""

    store: ClusterStore
    permissions: Permissions
    # Clusters that an account may have.
    clusters_max: int
    # Names of clusters that the host has started ahead.
    names_ahead: Callable[[], Awaitable[Sequence[str]]]
    # The status to show of a cluster: the host knows whether it sleeps.
    show_status: Callable[[Cluster], Awaitable[ClusterStatus]]
    # Called when a cluster's stored status asks for something to be done.
    settle: Callable[[ClusterIdentifier], None]


class ClusterOperations:
    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._store = around.store
        self._permissions = around.permissions

    async def create(self, call: Call) -> dict[str, Any]:
        wanted = self._wanted_cluster(call)
        resource = str(replace(wanted.arn, identifier=ClusterIdentifier("*")))
        self._permissions.check(call, None, resource, request_tags=wanted.tags)
        if wanted.tags:
            self._permissions.check(call, None, resource, action="dsql:TagResource", request_tags=wanted.tags)
        if wanted.policy is not None:
            policy = read_policy(wanted.policy)
            self._permissions.check(call, None, resource, action="dsql:PutClusterPolicy", request_tags=wanted.tags)
            if not call.fields.get("bypassPolicyLockoutSafetyCheck"):
                self._permissions.check_lockout(call, wanted, policy)
        ahead = await self._around.names_ahead()
        answer = perform_once(self._store, call, lambda: self._add(wanted, ahead))
        self._around.settle(answer["identifier"])
        return answer

    async def get(self, call: Call) -> dict[str, Any]:
        cluster = self.permitted(call)
        status = await self._around.show_status(cluster)
        return {**describe_details(cluster, status), "tags": dict(cluster.tags)}

    async def update(self, call: Call) -> dict[str, Any]:
        check_single_region(call.fields)
        groups = read_metric_groups(call.fields)
        cluster = self.look_up(call)
        self.check(call, cluster)

        def perform() -> dict[str, Any]:
            return self._change(call, required(call, cluster), groups)

        answer = perform_once(self._store, call, perform)
        self._around.settle(answer["identifier"])
        return answer

    async def delete(self, call: Call) -> dict[str, Any]:
        cluster = self.look_up(call)
        self.check(call, cluster)
        answer = perform_once(self._store, call, lambda: self._begin_deletion(required(call, cluster)))
        self._around.settle(answer["identifier"])
        return answer

    async def list(self, call: Call) -> dict[str, Any]:
        self._permissions.check(call, None, ANYTHING)
        token = call.fields.get("nextToken")
        after = None if token is None else decode_list_token(token)
        count = call.fields.get("maxResults", _PAGE_DEFAULT)
        found = self._store.page(call.caller.account, after, count + 1)
        answer: dict[str, Any] = {"clusters": [describe_summary(cluster) for cluster in found[:count]]}
        if len(found) > count:
            answer["nextToken"] = encode_list_token(found[count - 1])
        return answer

    async def get_vpc_endpoint_service_name(self, call: Call) -> dict[str, Any]:
        """There are no VPCs here: the service is named by AWS's pattern, and the private endpoint is the endpoint."""
        cluster = self.permitted(call)
        return {
            "serviceName": f"com.amazonaws.{cluster.region}.dsql",
            "clusterVpcEndpoint": str(cluster.endpoint),
        }

    # For the operations on policies, too

    def look_up(self, call: Call) -> Cluster | None:
        return self._store.get(call.fields["identifier"])

    def check(self, call: Call, cluster: Cluster | None) -> None:
        """A cluster that does not exist is asked for like one of the caller's account: who may not look there does not
        learn that it is not there."""
        self._permissions.check(call, cluster, self.resource(call, cluster))

    def permitted(self, call: Call) -> Cluster:
        """The cluster that the call names, if the caller may do to it what it wants to do."""
        cluster = self.look_up(call)
        self.check(call, cluster)
        return required(call, cluster)

    def resource(self, call: Call, cluster: Cluster | None) -> str:
        if cluster is not None:
            return str(cluster.arn)
        region = self._store.installation.region
        return str(ClusterArn(region, call.caller.account, call.fields["identifier"]))

    # Inside transactions

    def _add(self, wanted: Cluster, ahead: Sequence[str]) -> dict[str, Any]:
        if self._store.count(wanted.account) >= self._around.clusters_max:
            raise quota_exceeded("You have reached the cluster limit.", wanted.account, CLUSTER, CLUSTER_QUOTA)
        names = (ClusterIdentifier(name) for name in ahead)
        name = next((name for name in names if self._store.get(name) is None), None)
        added = replace(wanted, identifier=name or wanted.identifier)
        self._store.add(added)
        return describe_details(added, added.status)

    def _change(self, call: Call, cluster: Cluster, groups: tuple[str, ...] | None) -> dict[str, Any]:
        check_changeable(cluster)
        fields, identifier = call.fields, cluster.identifier
        if "deletionProtectionEnabled" in fields:
            self._store.set_deletion_protection(identifier, fields["deletionProtectionEnabled"])
        if "kmsEncryptionKey" in fields:
            key = read_kms_key(fields["kmsEncryptionKey"], cluster.region, cluster.account)
            self._store.set_kms_key(identifier, key)
        if groups is not None:
            self._store.set_metric_groups(identifier, groups)
        status = status_after_change(cluster.status)
        self._store.set_status(identifier, status, cluster.status_reason)
        return describe_outcome(cluster, status)

    def _begin_deletion(self, cluster: Cluster) -> dict[str, Any]:
        if cluster.deletion_protection:
            raise protected()
        if not can_delete(cluster.status):
            raise conflict(f"The cluster cannot be deleted while it is {cluster.status}.", cluster.identifier, CLUSTER)
        self._store.set_status(cluster.identifier, ClusterStatus.DELETING)
        return describe_outcome(cluster, ClusterStatus.DELETING)

    def _wanted_cluster(self, call: Call) -> Cluster:
        """Under a name that it keeps unless there is one of a cluster that was started ahead."""
        fields, installation = call.fields, self._store.installation
        check_single_region(fields)
        tags: Mapping[str, str] = fields.get("tags", {})
        check_tag_keys("tags", tags)
        policy = fields.get("policy")
        account = call.caller.account
        key = fields.get("kmsEncryptionKey")
        return Cluster(
            identifier=make_identifier(),
            account=account,
            region=installation.region,
            domain=installation.domain,
            status=ClusterStatus.CREATING,
            creation_time=call.now,
            deletion_protection=fields.get("deletionProtectionEnabled", True),
            tags=tags,
            policy=policy,
            policy_version=0 if policy is None else 1,
            kms_key=None if key is None else read_kms_key(key, installation.region, account),
            metric_groups=read_metric_groups(fields) or (),
        )


def required(call: Call, cluster: Cluster | None) -> Cluster:
    if cluster is None:
        identifier = call.fields["identifier"]
        raise not_found(identifier, CLUSTER, f"There is no cluster {identifier}.")
    return cluster


def check_changeable(cluster: Cluster) -> None:
    if not can_change(cluster.status):
        raise conflict(f"The cluster cannot be changed while it is {cluster.status}.", cluster.identifier, CLUSTER)


def protected() -> ApiError:
    return validation(
        ValidationReason.DELETION_PROTECTION_ENABLED,
        "Deletion protection is enabled for this cluster. Disable it with UpdateCluster before you delete the cluster.",
    )

"""PutClusterPolicy, GetClusterPolicy, DeleteClusterPolicy."""

from typing import Any, Final

from borealis.clusters.cluster import Cluster
from borealis.clusters.store import ClusterStore
from borealis.control.call import Call
from borealis.control.cluster_operations import ClusterOperations, check_changeable, required
from borealis.control.errors import ApiError, conflict, not_found
from borealis.control.idempotency import perform_once
from borealis.control.permissions import Permissions, read_policy

POLICY: Final = "cluster-policy"


class PolicyOperations:
    def __init__(self, store: ClusterStore, permissions: Permissions, clusters: ClusterOperations) -> None:
        self._store = store
        self._permissions = permissions
        self._clusters = clusters

    async def put(self, call: Call) -> dict[str, Any]:
        policy = read_policy(call.fields["policy"])
        cluster = self._clusters.look_up(call)
        self._clusters.check(call, cluster)
        if cluster is not None and not call.fields.get("bypassPolicyLockoutSafetyCheck"):
            self._permissions.check_lockout(call, cluster, policy)

        def perform() -> dict[str, Any]:
            found = required(call, cluster)
            check_changeable(found)
            check_version(call, found)
            self._store.set_policy(found.identifier, call.fields["policy"], found.policy_version + 1)
            return {"policyVersion": str(found.policy_version + 1)}

        return perform_once(self._store, call, perform)

    async def get(self, call: Call) -> dict[str, Any]:
        cluster = self._clusters.permitted(call)
        if cluster.policy is None:
            raise without_policy(cluster)
        return {"policy": cluster.policy, "policyVersion": str(cluster.policy_version)}

    async def delete(self, call: Call) -> dict[str, Any]:
        """The version goes on counting: the next policy is not mistaken for this one."""
        cluster = self._clusters.look_up(call)
        self._clusters.check(call, cluster)

        def perform() -> dict[str, Any]:
            found = required(call, cluster)
            check_changeable(found)
            check_version(call, found)
            if found.policy is None:
                raise without_policy(found)
            self._store.set_policy(found.identifier, None, found.policy_version)
            return {"policyVersion": str(found.policy_version)}

        return perform_once(self._store, call, perform)


def check_version(call: Call, cluster: Cluster) -> None:
    """Whoever expects a version expects a policy."""
    expected = call.fields.get("expectedPolicyVersion")
    if expected is None:
        return
    if cluster.policy is None:
        raise conflict(f"Version {expected} of the policy was expected, there is none.", cluster.identifier, POLICY)
    if expected != str(cluster.policy_version):
        text = f"Version {expected} of the policy was expected, it is {cluster.policy_version}."
        raise conflict(text, cluster.identifier, POLICY)


def without_policy(cluster: Cluster) -> ApiError:
    return not_found(cluster.identifier, POLICY, f"Cluster {cluster.identifier} has no policy.")

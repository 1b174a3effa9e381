"""TagResource, UntagResource, ListTagsForResource: of clusters, the only resources that there are."""

from typing import Any, Final

from borealis.clusters.cluster import Cluster
from borealis.clusters.names import ClusterArn, InvalidName
from borealis.clusters.store import ClusterStore
from borealis.control.call import Call
from borealis.control.errors import not_found, quota_exceeded
from borealis.control.parameters import check_tag_keys
from borealis.control.permissions import Permissions

TAGS_MAX: Final = 200
TAG_QUOTA: Final = "tags-per-resource"
RESOURCE: Final = "resource"


class TagOperations:
    def __init__(self, store: ClusterStore, permissions: Permissions) -> None:
        self._store = store
        self._permissions = permissions

    async def tag(self, call: Call) -> dict[str, Any]:
        tags = call.fields["tags"]
        check_tag_keys("tags", tags)
        cluster = self._find(call)
        self._permissions.check(call, cluster, call.fields["resourceArn"], request_tags=tags)
        found = required(call, cluster)
        if len({*found.tags, *tags}) > TAGS_MAX:
            text = f"A resource has at most {TAGS_MAX} tags."
            raise quota_exceeded(text, call.fields["resourceArn"], RESOURCE, TAG_QUOTA)
        with self._store.transaction():
            self._store.put_tags(found.identifier, tags)
        return {}

    async def untag(self, call: Call) -> dict[str, Any]:
        keys = call.fields["tagKeys"]
        check_tag_keys("tagKeys", keys)
        cluster = self._find(call)
        self._permissions.check(call, cluster, call.fields["resourceArn"], tag_keys=keys)
        found = required(call, cluster)
        with self._store.transaction():
            self._store.remove_tags(found.identifier, keys)
        return {}

    async def list(self, call: Call) -> dict[str, Any]:
        cluster = self._find(call)
        self._permissions.check(call, cluster, call.fields["resourceArn"])
        return {"tags": dict(required(call, cluster).tags)}

    def _find(self, call: Call) -> Cluster | None:
        """The ARN has to be the cluster's own, to the letter: policies are asked about what the caller wrote."""
        try:
            arn = ClusterArn.parse(call.fields["resourceArn"])
        except InvalidName:
            return None
        cluster = self._store.get(arn.identifier)
        return cluster if cluster is not None and cluster.arn == arn else None


def required(call: Call, cluster: Cluster | None) -> Cluster:
    if cluster is None:
        arn = call.fields["resourceArn"]
        raise not_found(arn, RESOURCE, f"There is no resource {arn}.")
    return cluster

"""Whether a caller may do what it asks for: the facts of a call in the form that policies are asked in.

The rules are those of `borealis.iam`. Here is which resource and which tags each operation is about. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from borealis.clusters.cluster import Cluster
from borealis.control.call import Call
from borealis.control.errors import access_denied, invalid_field
from borealis.iam.authorization import authorize, find_lockout
from borealis.iam.context import RequestContext
from borealis.iam.errors import MalformedPolicy
from borealis.iam.policies import Policy, PolicyKind, parse_policy
from borealis.iam.refusals import AuthorizationRefused

# What an operation is about that names no cluster.
ANYTHING: Final = "*"


class Permissions:
    def __init__(self, region: str) -> None:
        self._region = region

    def check(
        self,
        call: Call,
        cluster: Cluster | None,
        resource: str,
        *,
        action: str | None = None,
        request_tags: Mapping[str, str] | None = None,
        tag_keys: Iterable[str] = (),
    ) -> None:
        """Raises ApiError (AccessDeniedException). `cluster` is what `resource` names, if it exists; `action` another
        one than that of the operation; tags are those that the request sets or takes away."""
        context = self._context(call, cluster, request_tags or {}, tuple(tag_keys))
        try:
            authorize(call.caller, action or call.operation.action, resource, context, policy_of(cluster))
        except AuthorizationRefused as error:
            raise access_denied(error.text) from None

    def check_lockout(self, call: Call, cluster: Cluster, policy: Policy) -> None:
        """Raises ApiError if under this policy the caller could not put it right again."""
        action = find_lockout(call.caller, str(cluster.arn), self._context(call, cluster, {}, ()), policy)
        if action is not None:
            raise invalid_field(
                "policy",
                f"The policy would lock you out: you could not perform {action} on {cluster.arn} any more. Allow it, "
                "or set bypassPolicyLockoutSafetyCheck.",
            )

    def _context(
        self, call: Call, cluster: Cluster | None, request_tags: Mapping[str, str], tag_keys: tuple[str, ...]
    ) -> RequestContext:
        return RequestContext(
            now=call.now,
            region=self._region,
            source_ip=call.source_ip,
            is_secure=call.is_secure,
            resource_tags=cluster.tags if cluster is not None else {},
            request_tags=request_tags,
            tag_keys=tag_keys,
        )


def read_policy(text: str) -> Policy:
    """Raises ApiError if it is no resource policy."""
    try:
        return parse_policy(text, PolicyKind.RESOURCE)
    except MalformedPolicy as error:
        raise invalid_field("policy", f"The policy is not valid: {error}") from None


def policy_of(cluster: Cluster | None) -> Policy | None:
    return None if cluster is None or cluster.policy is None else parse_policy(cluster.policy, PolicyKind.RESOURCE)

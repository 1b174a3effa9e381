"""Who may do what: policies of the identity and of the resource taken together, by AWS's rules.

Owns the order of the rules. An explicit Deny anywhere wins. Within one account either the identity's policies or the
resource's have to allow, across accounts both. A permissions boundary and a session's policy limit what the identity's
policies allow, and what a resource's policy allows to a role; a policy of a resource that names the user or the session
itself is not limited by them. The root of an account may do everything in its account that no policy denies.

Pure. Source: IAM User Guide, "Policy evaluation logic".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from borealis.iam.caller import Entity, VerifiedCaller
from borealis.iam.context import RequestContext, RequestKeys, account_of
from borealis.iam.names import EntityKind
from borealis.iam.policies import Policy, Statement
from borealis.iam.principals import Closeness
from borealis.iam.refusals import AuthorizationRefused, not_authorized

PUT_CLUSTER_POLICY: Final = "dsql:PutClusterPolicy"
DELETE_CLUSTER_POLICY: Final = "dsql:DeleteClusterPolicy"


class Source(Enum):
    """Which policy decided; the value is its name in messages."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"


@dataclass(frozen=True, slots=True)
class Decision:
    """`source`: the kind of policy that denies, or that would have to allow; None for what is allowed."""

    is_allowed: bool
    source: Source | None = None
    is_explicit: bool = False

    def reason(self, action: str) -> str:
        """The end of AWS's message about a request that is not allowed."""
        if self.source is None:
            return ""
        if self.is_explicit:
            article = "an" if self.source is Source.IDENTITY else "a"
            return f"with an explicit deny in {article} {self.source.value}"
        return f"because no {self.source.value} allows the {action} action"


ALLOWED: Final = Decision(True)


def decide(
    caller: VerifiedCaller,
    action: str,
    resource: str,
    context: RequestContext,
    resource_policy: Policy | None = None,
    *,
    needs_grant: bool = False,
) -> Decision:
    """May `caller` do `action` (`dsql:GetCluster`) to `resource` (an ARN; "*" where an action has none)?

    `needs_grant`: the resource's policy has to let the caller in even within one account, as that of a role has to."""
    request = _Request(caller, action.lower(), resource, context)
    entity = caller.entity
    denial = request.find_denial(resource_policy)
    if denial is not None:
        return Decision(False, denial, is_explicit=True)
    granted = request.granted_by(resource_policy)
    is_same_account = (account_of(resource) or caller.account) == caller.account
    if is_same_account and granted is Closeness.DIRECT:
        return ALLOWED
    if granted is Closeness.NOT and (needs_grant or not is_same_account):
        return Decision(False, Source.RESOURCE)
    needs_identity = not is_same_account or granted is not Closeness.ROLE
    if needs_identity and entity.kind is not EntityKind.ROOT and not request.is_allowed_by(entity.policies):
        return Decision(False, Source.IDENTITY)
    if entity.boundary is not None and not request.is_allowed_by((entity.boundary,)):
        return Decision(False, Source.BOUNDARY)
    session_policy = caller.session.policy if caller.session else None
    if session_policy is not None and not request.is_allowed_by((session_policy,)):
        return Decision(False, Source.SESSION)
    return ALLOWED


def authorize(
    caller: VerifiedCaller, action: str, resource: str, context: RequestContext, resource_policy: Policy | None = None
) -> None:
    """Raises AuthorizationRefused, in AWS's words, for what `decide` does not allow."""
    decision = decide(caller, action, resource, context, resource_policy)
    if not decision.is_allowed:
        raise refusal(caller, action, resource, decision)


def refusal(caller: VerifiedCaller, action: str, resource: str, decision: Decision) -> AuthorizationRefused:
    return not_authorized(caller.arn, action, resource, decision.reason(action))


def find_lockout(caller: VerifiedCaller, resource: str, context: RequestContext, resource_policy: Policy) -> str | None:
    """The action that the caller needs to mend a cluster's policy and would not be allowed under this one; None when
    it could do both, replace the policy and delete it."""
    for action in (PUT_CLUSTER_POLICY, DELETE_CLUSTER_POLICY):
        if not decide(caller, action, resource, context, resource_policy).is_allowed:
            return action
    return None


class _Request:
    """One question to the policies."""

    def __init__(self, caller: VerifiedCaller, action: str, resource: str, context: RequestContext) -> None:
        self._caller = caller
        self._action = action
        self._resource = resource
        self._keys = RequestKeys(caller, resource, context)

    def find_denial(self, resource_policy: Policy | None) -> Source | None:
        for source, policies in _policies_of(self._caller):
            if any(self._applies(statement) for statement in _statements(policies) if not statement.is_allow):
                return source
        for statement in _statements((resource_policy,) if resource_policy else ()):
            if not statement.is_allow and self._names(statement) and self._applies(statement):
                return Source.RESOURCE
        return None

    def granted_by(self, resource_policy: Policy | None) -> Closeness:
        """How closely the resource's policy names the caller where it allows the request."""
        granted = Closeness.NOT
        for statement in resource_policy.statements if resource_policy else ():
            if statement.is_allow and (names := self._names(statement)) > granted and self._applies(statement):
                granted = names
        return granted

    def is_allowed_by(self, policies: Iterable[Policy]) -> bool:
        return any(statement.is_allow and self._applies(statement) for statement in _statements(policies))

    def _applies(self, statement: Statement) -> bool:
        return statement.applies(self._action, self._resource, self._keys)

    def _names(self, statement: Statement) -> Closeness:
        return statement.principals.closeness(self._caller) if statement.principals else Closeness.NOT


def _policies_of(caller: VerifiedCaller) -> Iterator[tuple[Source, tuple[Policy, ...]]]:
    entity: Entity = caller.entity
    yield Source.IDENTITY, entity.policies
    if entity.boundary is not None:
        yield Source.BOUNDARY, (entity.boundary,)
    if caller.session is not None and caller.session.policy is not None:
        yield Source.SESSION, (caller.session.policy,)


def _statements(policies: Iterable[Policy]) -> Iterator[Statement]:
    for policy in policies:
        yield from policy.statements

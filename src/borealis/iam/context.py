"""The facts of a request that conditions and policy variables can ask for.

Owns the condition keys: their names and where their values come from. Pure; the clock's reading comes in.

Source: IAM User Guide, "AWS global condition context keys"; Service Authorization Reference, "Amazon Aurora DSQL".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam.caller import VerifiedCaller
from borealis.iam.names import EntityKind

_PRINCIPAL_TYPES: Final = {EntityKind.ROOT: "Account", EntityKind.USER: "User", EntityKind.ROLE: "AssumedRole"}


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is known of one request beside who made it. None and empty mean that the key is not there.

    `request_tags` are those that the request wants to set; `tag_keys` those that it names without values (untagging).
    `more` takes keys of other services, in lower case."""

    now: Timestamp
    region: str
    source_ip: str | None = None
    is_secure: bool = True
    resource_tags: Mapping[str, str] = field(default_factory=dict)
    request_tags: Mapping[str, str] = field(default_factory=dict)
    tag_keys: tuple[str, ...] = ()
    source_vpce: str | None = None
    witness_region: str | None = None
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class RequestKeys:
    """`ConditionKeys` of one request. A value is made when a policy asks for it: most policies have no conditions."""

    __slots__ = ("caller", "context", "resource")

    def __init__(self, caller: VerifiedCaller, resource: str, context: RequestContext) -> None:
        self.caller: Final = caller
        self.resource: Final = resource
        self.context: Final = context

    def get(self, key: str, default: tuple[str, ...], /) -> tuple[str, ...]:
        find = _SINGLE_VALUED.get(key)
        if find is not None:
            value = find(self)
            return default if value is None else (value,)
        prefix, slash, name = key.partition("/")
        if slash:
            find_tags = _TAGS.get(prefix)
            return default if find_tags is None else _values_of(name, find_tags(self))
        if key == "aws:tagkeys":
            return (*self.context.request_tags, *self.context.tag_keys)
        return self.context.more.get(key, default)


def _values_of(name: str, tags: Mapping[str, str]) -> tuple[str, ...]:
    """Condition keys know no case, tags do: both of two tags that differ in nothing else are meant."""
    return tuple(value for tag, value in tags.items() if tag.lower() == name)


def _principal_tags(request: RequestKeys) -> Mapping[str, str]:
    """A session's own tags take the place of its role's."""
    tags = dict(request.caller.entity.tags)
    if request.caller.session is not None:
        tags.update(request.caller.session.tags)
    return tags


def _user_name(request: RequestKeys) -> str | None:
    return request.caller.entity.name if request.caller.entity.kind is EntityKind.USER else None


def _token_issue_time(request: RequestKeys) -> str | None:
    return _iso(request.caller.session.issued_at) if request.caller.session is not None else None


def _has_second_factor(request: RequestKeys) -> str | None:
    """Said of temporary credentials only, as in AWS; nobody has one here."""
    return "false" if request.caller.session is not None else None


_SINGLE_VALUED: Final[dict[str, Callable[[RequestKeys], str | None]]] = {
    "aws:currenttime": lambda request: _iso(request.context.now),
    "aws:epochtime": lambda request: str(request.context.now // NANOSECONDS_PER_SECOND),
    "aws:multifactorauthpresent": _has_second_factor,
    "aws:principalaccount": lambda request: request.caller.account,
    "aws:principalarn": lambda request: request.caller.principal_arn,
    "aws:principalisawsservice": lambda _: "false",
    "aws:principaltype": lambda request: _PRINCIPAL_TYPES[request.caller.entity.kind],
    "aws:requestedregion": lambda request: request.context.region,
    "aws:resourceaccount": lambda request: account_of(request.resource) or request.caller.account,
    "aws:securetransport": lambda request: "true" if request.context.is_secure else "false",
    "aws:sourceip": lambda request: request.context.source_ip,
    "aws:sourcevpce": lambda request: request.context.source_vpce,
    "aws:tokenissuetime": _token_issue_time,
    "aws:userid": lambda request: request.caller.user_id,
    "aws:username": _user_name,
    "aws:viaawsservice": lambda _: "false",
    "dsql:witnessregion": lambda request: request.context.witness_region,
}
_TAGS: Final[dict[str, Callable[[RequestKeys], Mapping[str, str]]]] = {
    "aws:principaltag": _principal_tags,
    "aws:requesttag": lambda request: request.context.request_tags,
    "aws:resourcetag": lambda request: request.context.resource_tags,
}


def account_of(resource: str) -> str | None:
    """The account in an ARN; None where there is none (as in "*")."""
    parts = resource.split(":", 5)
    return parts[4] if len(parts) == 6 and parts[4] else None


def _iso(moment: Timestamp) -> str:
    return datetime.fromtimestamp(moment // NANOSECONDS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

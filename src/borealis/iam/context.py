"""The facts of a request that conditions and policy variables can ask for.

Owns the condition keys: their names and where their values come from. Pure; the clock's reading comes in.

Source: IAM User Guide, "AWS global condition context keys"; Service Authorization Reference, "Amazon Aurora DSQL".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam.caller import VerifiedCaller
from borealis.iam.names import EntityKind

_PRINCIPAL_TYPES = {EntityKind.ROOT: "Account", EntityKind.USER: "User", EntityKind.ROLE: "AssumedRole"}


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
    """`ConditionKeys` of one request, made when the first policy asks: most policies have no conditions."""

    __slots__ = ("_caller", "_context", "_keys", "_resource")

    def __init__(self, caller: VerifiedCaller, resource: str, context: RequestContext) -> None:
        self._caller = caller
        self._resource = resource
        self._context = context
        self._keys: dict[str, tuple[str, ...]] | None = None

    def get(self, key: str, default: tuple[str, ...], /) -> tuple[str, ...]:
        if self._keys is None:
            self._keys = collect_keys(self._caller, self._resource, self._context)
        return self._keys.get(key, default)


def collect_keys(caller: VerifiedCaller, resource: str, context: RequestContext) -> dict[str, tuple[str, ...]]:
    """The values of every key that this request has."""
    keys: dict[str, tuple[str, ...]] = {
        "aws:currenttime": (_iso(context.now),),
        "aws:epochtime": (str(context.now // NANOSECONDS_PER_SECOND),),
        "aws:securetransport": (_bool(context.is_secure),),
        "aws:requestedregion": (context.region,),
        "aws:resourceaccount": (account_of(resource) or caller.account,),
        "aws:viaawsservice": ("false",),
        "aws:principalisawsservice": ("false",),
    }
    for name, value in (
        ("aws:sourceip", context.source_ip),
        ("aws:sourcevpce", context.source_vpce),
        ("dsql:witnessregion", context.witness_region),
    ):
        if value is not None:
            keys[name] = (value,)
    for prefix, tags in (("aws:resourcetag/", context.resource_tags), ("aws:requesttag/", context.request_tags)):
        for name, value in tags.items():
            keys[prefix + name.lower()] = (value,)
    tag_keys = (*context.request_tags, *context.tag_keys)
    if tag_keys:
        keys["aws:tagkeys"] = tag_keys
    _add_caller(keys, caller)
    keys.update(context.more)
    return keys


def _add_caller(keys: dict[str, tuple[str, ...]], caller: VerifiedCaller) -> None:
    entity, session = caller.entity, caller.session
    keys["aws:principalarn"] = (caller.principal_arn,)
    keys["aws:principalaccount"] = (entity.account,)
    keys["aws:principaltype"] = (_PRINCIPAL_TYPES[entity.kind],)
    keys["aws:userid"] = (caller.user_id,)
    if entity.kind is EntityKind.USER:
        keys["aws:username"] = (entity.name,)
    tags = dict(entity.tags)
    if session is not None:
        keys["aws:tokenissuetime"] = (_iso(session.issued_at),)
        keys["aws:multifactorauthpresent"] = ("false",)
        tags.update(session.tags)
    for name, value in tags.items():
        keys["aws:principaltag/" + name.lower()] = (value,)


def account_of(resource: str) -> str | None:
    """The account in an ARN; None where there is none (as in "*")."""
    parts = resource.split(":", 5)
    return parts[4] if len(parts) == 6 and parts[4] else None


def _iso(moment: Timestamp) -> str:
    return datetime.fromtimestamp(moment // NANOSECONDS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bool(fact: bool) -> str:
    return "true" if fact else "false"

"""Callers and policies of tests, written as briefly as a table of cases needs."""

import json
from typing import Any

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam.caller import Entity, Session, VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.names import EntityKind, entity_arn
from borealis.iam.policies import Policy, PolicyKind, parse_policy
from tests.unit.iam.installation import ACCOUNT, NOW, REGION

Json = dict[str, Any]

CONTEXT = RequestContext(NOW, REGION, "203.0.113.7")


def statement(effect: str, action: Any = "dsql:*", resource: Any = "*", **more: Any) -> Json:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def allow(action: Any = "dsql:*", resource: Any = "*", **more: Any) -> Json:
    return statement("Allow", action, resource, **more)


def deny(action: Any = "dsql:*", resource: Any = "*", **more: Any) -> Json:
    return statement("Deny", action, resource, **more)


def document(*statements: Json, version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def identity(*statements: Json, version: str = "2012-10-17") -> Policy:
    return parse_policy(document(*statements, version=version), PolicyKind.IDENTITY)


def resource_policy(*statements: Json) -> Policy:
    return parse_policy(document(*statements), PolicyKind.RESOURCE)


def user(
    *policies: Policy,
    name: str = "alice",
    account: str = ACCOUNT,
    boundary: Policy | None = None,
    tags: tuple[tuple[str, str], ...] = (),
) -> VerifiedCaller:
    arn = entity_arn(account, EntityKind.USER, "/", name)
    entity = Entity(EntityKind.USER, account, "AIDAAAAAAAAAAAAAAAAA", name, arn, tags, policies, boundary)
    return VerifiedCaller(entity, None, "AKIAAAAAAAAAAAAAAAAA")


def root(account: str = ACCOUNT) -> VerifiedCaller:
    entity = Entity(EntityKind.ROOT, account, account, "root", entity_arn(account, EntityKind.ROOT, "/", "root"))
    return VerifiedCaller(entity, None, "AKIAAAAAAAAAAAAAAAAA")


def role_session(
    *policies: Policy,
    name: str = "app",
    account: str = ACCOUNT,
    boundary: Policy | None = None,
    session_policy: Policy | None = None,
    tags: tuple[tuple[str, str], ...] = (),
    session_tags: tuple[tuple[str, str], ...] = (),
) -> VerifiedCaller:
    arn = entity_arn(account, EntityKind.ROLE, "/", name)
    entity = Entity(EntityKind.ROLE, account, "AROAAAAAAAAAAAAAAAAA", name, arn, tags, policies, boundary)
    expires_at = Timestamp(NOW + 3600 * NANOSECONDS_PER_SECOND)
    return VerifiedCaller(
        entity, Session("work", NOW, expires_at, session_policy, session_tags), "ASIAAAAAAAAAAAAAAAAA"
    )


USER_ARN = user().arn
ROLE_ARN = role_session().principal_arn
SESSION_ARN = role_session().arn

"""Decisions compared with those of a second, plain implementation, on requests and policies made at random."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.iam.authorization import decide
from borealis.iam.caller import VerifiedCaller
from borealis.iam.context import RequestContext, RequestKeys
from borealis.iam.names import EntityKind
from borealis.iam.policies import Policy, PolicyKind, parse_policy
from tests.examples import examples
from tests.unit.iam.callers import Json, role_session, root, user
from tests.unit.iam.installation import ACCOUNT, CLUSTER, IDENTIFIER, NOW, OTHER_ACCOUNT, REGION
from tests.unit.iam.plain_rules import is_allowed

ACCOUNTS = (ACCOUNT, OTHER_ACCOUNT)
ACTIONS = ("dsql:DbConnect", "dsql:DbConnectAdmin", "dsql:GetCluster", "dsql:TagResource")
ACTION_PATTERNS = ("*", "dsql:*", "dsql:DbConnect", "DSQL:dbconnect*", "dsql:Get??uster", "s3:*", "dsql:*Admin")
RESOURCE_PATTERNS = (
    "*",
    CLUSTER,
    CLUSTER[:-1] + "x",
    "arn:aws:dsql:*:*:cluster/*",
    "arn:aws:dsql:us-*-1:*:*",
    f"arn:aws:dsql:{REGION}:{ACCOUNT}:cluster/{IDENTIFIER[:3]}*",
    f"arn:aws:dsql:*:{OTHER_ACCOUNT}:cluster/*",
    "arn:aws:s3:*:*:*",
)
PRINCIPALS = (
    *ACCOUNTS,
    f"arn:aws:iam::{ACCOUNT}:root",
    *(user(account=account).arn for account in ACCOUNTS),
    *(role_session(account=account).principal_arn for account in ACCOUNTS),
    *(role_session(account=account).arn for account in ACCOUNTS),
    user(name="bob").arn,
)
TEXT_OPERATORS = (
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
)
KEYS = (
    "aws:PrincipalArn",
    "aws:TagKeys",
    "aws:SecureTransport",
    "aws:username",
    "aws:PrincipalAccount",
    "aws:ResourceTag/Stage",
    "aws:ResourceTag/Nothing",
    "aws:TokenIssueTime",
)


def some(values: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def condition(
    operator: st.SearchStrategy[str], keys: tuple[str, ...], values: tuple[str, ...]
) -> st.SearchStrategy[Json]:
    return st.builds(lambda op, key, value: {op: {key: value}}, operator, st.sampled_from(keys), some(values))


texts = st.sampled_from(TEXT_OPERATORS)
with_suffix = texts.flatmap(lambda name: st.sampled_from([name, f"{name}IfExists"]))
with_prefix = texts.flatmap(lambda name: st.sampled_from([f"ForAllValues:{name}", f"ForAnyValue:{name}"]))
words = ("Test", "test", "T*", "alice", "a?ice", "red", "*", "Owner", "O*", ACCOUNT)
conditions = st.one_of(
    condition(
        with_suffix, ("aws:ResourceTag/Stage", "AWS:resourcetag/nothing", "aws:username", "aws:PrincipalAccount"), words
    ),
    condition(with_prefix, ("aws:TagKeys", "aws:ResourceTag/Nothing"), words),
    condition(
        st.sampled_from(["ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals"]),
        ("aws:PrincipalArn",),
        (
            user().arn,
            f"arn:aws:iam::{ACCOUNT}:*",
            "arn:aws:iam::*:role/a*",
            "arn:*:iam::*:user/*",
        ),
    ),
    st.sampled_from(["true", "false"]).map(lambda value: {"Bool": {"aws:SecureTransport": value}}),
    st.builds(
        lambda key, value: {"Null": {key: value}},
        st.sampled_from(["aws:username", "aws:TokenIssueTime", "aws:ResourceTag/Nothing"]),
        st.sampled_from(["true", "false"]),
    ),
)


@st.composite
def statements(draw: st.DrawFn, has_principal: bool) -> Json:
    statement: Json = {
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Allow", "Deny"])),
        draw(st.sampled_from(["Action", "Action", "Action", "NotAction"])): draw(some(ACTION_PATTERNS)),
        draw(st.sampled_from(["Resource", "Resource", "Resource", "NotResource"])): draw(some(RESOURCE_PATTERNS)),
    }
    if has_principal:
        statement["Principal"] = draw(st.just("*") | some(PRINCIPALS).map(lambda names: {"AWS": names}))
    found: Json = {}
    for one in draw(st.lists(conditions, max_size=2)):
        found.update(one)
    return {**statement, "Condition": found} if found else statement


def documents(has_principal: bool = False) -> st.SearchStrategy[Json]:
    several = st.lists(statements(has_principal), min_size=1, max_size=3)
    return several.map(lambda found: {"Version": "2012-10-17", "Statement": found})


def parsed(document: Json | None, kind: PolicyKind = PolicyKind.IDENTITY) -> Policy | None:
    return None if document is None else parse_policy(json.dumps(document), kind)


def make_caller(kind: EntityKind, account: str, case: Json) -> VerifiedCaller:
    policies = [policy for policy in map(parsed, case["identity"]) if policy is not None]
    if kind is EntityKind.ROOT:
        return root(account)
    if kind is EntityKind.USER:
        return user(*policies, account=account, boundary=parsed(case["boundary"]))
    return role_session(
        *policies, account=account, boundary=parsed(case["boundary"]), session_policy=parsed(case["session"])
    )


maybe = st.none() | documents()


@given(
    kind=st.sampled_from([EntityKind.USER, EntityKind.USER, EntityKind.ROLE, EntityKind.ROLE, EntityKind.ROOT]),
    account=st.sampled_from([ACCOUNT, ACCOUNT, OTHER_ACCOUNT]),
    action=st.sampled_from(ACTIONS),
    identity=st.lists(documents(), max_size=2),
    boundary=maybe,
    session=maybe,
    resource=st.none() | documents(has_principal=True),
)
@settings(max_examples=examples(200))
def test_two_implementations_decide_alike(
    kind: EntityKind,
    account: str,
    action: str,
    identity: list[Json],
    boundary: Json | None,
    session: Json | None,
    resource: Json | None,
) -> None:
    case: Json = {
        "identity": [] if kind is EntityKind.ROOT else identity,
        "boundary": None if kind is EntityKind.ROOT else boundary,
        "session": session if kind is EntityKind.ROLE else None,
        "resource": resource,
        "action": action,
        "name": CLUSTER,
        "resource_account": ACCOUNT,
    }
    caller = make_caller(kind, account, case)
    tags = {"Owner": "ann", "Stage": "x"} if action == "dsql:TagResource" else {}
    context = RequestContext(NOW, REGION, "203.0.113.7", resource_tags={"Stage": "Test"}, request_tags=tags)
    keys = RequestKeys(caller, CLUSTER, context)
    case["keys"] = {key.lower(): list(keys.get(key.lower(), ())) for key in KEYS}
    case["caller"] = {
        "arn": caller.arn,
        "role": caller.principal_arn if kind is EntityKind.ROLE else None,
        "account": account,
        "kind": kind.value,
    }
    decision = decide(caller, action, CLUSTER, context, parsed(resource, PolicyKind.RESOURCE))
    assert decision.is_allowed is is_allowed(case), decision

"""Condition operators, several values, keys that are not there, policy variables."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.iam.authorization import decide
from borealis.iam.caller import VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.patterns import Pattern
from tests.unit.iam.callers import CONTEXT, allow, identity, role_session, user
from tests.unit.iam.installation import ACCOUNT, CLUSTER, NOW, REGION

ACTION = "dsql:DbConnect"


def holds(condition: dict[str, Any], context: RequestContext = CONTEXT, caller: VerifiedCaller | None = None) -> bool:
    caller = caller or user()
    policy = identity(allow(Condition=condition))
    caller = replace(caller, entity=replace(caller.entity, policies=(policy,)))
    return decide(caller, ACTION, CLUSTER, context).is_allowed


TAGGED = RequestContext(
    NOW,
    REGION,
    "203.0.113.7",
    resource_tags={"Stage": "Test", "Cost": "10"},
    request_tags={"Owner": "ann", "Stage": "x"},
    witness_region="us-west-2",
)


@pytest.mark.parametrize(
    ("operator", "key", "values", "expected"),
    [
        ("StringEquals", "aws:ResourceTag/Stage", "Test", True),
        ("StringEquals", "AWS:resourcetag/stage", "Test", True),
        ("StringEquals", "aws:ResourceTag/Stage", "test", False),
        ("StringEquals", "aws:ResourceTag/Stage", "T*", False),
        ("StringEquals", "aws:ResourceTag/Stage", ["a", "Test"], True),
        ("StringNotEquals", "aws:ResourceTag/Stage", "Test", False),
        ("StringNotEquals", "aws:ResourceTag/Stage", ["a", "Test"], False),
        ("StringNotEquals", "aws:ResourceTag/Stage", ["a", "b"], True),
        ("StringEqualsIgnoreCase", "aws:ResourceTag/Stage", "tESt", True),
        ("StringNotEqualsIgnoreCase", "aws:ResourceTag/Stage", "tESt", False),
        ("StringLike", "aws:ResourceTag/Stage", "T*t", True),
        ("StringLike", "aws:ResourceTag/Stage", "T?t", False),
        ("StringLike", "aws:ResourceTag/Stage", "T??t", True),
        ("StringNotLike", "aws:ResourceTag/Stage", "T*", False),
        ("StringNotLike", "aws:ResourceTag/Stage", "x*", True),
        ("StringEquals", "dsql:WitnessRegion", "us-west-2", True),
        ("StringEquals", "aws:RequestedRegion", REGION, True),
        ("NumericEquals", "aws:ResourceTag/Cost", "10.0", True),
        ("NumericEquals", "aws:ResourceTag/Cost", 10, True),
        ("NumericNotEquals", "aws:ResourceTag/Cost", "10", False),
        ("NumericLessThan", "aws:ResourceTag/Cost", "10", False),
        ("NumericLessThanEquals", "aws:ResourceTag/Cost", "10", True),
        ("NumericGreaterThan", "aws:ResourceTag/Cost", "9.99", True),
        ("NumericGreaterThanEquals", "aws:ResourceTag/Cost", "11", False),
        ("NumericEquals", "aws:ResourceTag/Stage", "10", False),
        ("DateLessThan", "aws:CurrentTime", "2026-09-21T14:13:21Z", True),
        ("DateLessThan", "aws:CurrentTime", "2026-09-21T14:13:20Z", False),
        ("DateLessThanEquals", "aws:CurrentTime", "2026-09-21T14:13:20Z", True),
        ("DateEquals", "aws:CurrentTime", "2026-09-21T16:13:20+02:00", True),
        ("DateNotEquals", "aws:CurrentTime", "2026-09-21T14:13:20Z", False),
        ("DateGreaterThan", "aws:CurrentTime", "2026-09-21", True),
        ("DateGreaterThanEquals", "aws:EpochTime", "1790000000", True),
        ("DateLessThan", "aws:EpochTime", "2026-09-21T14:13:21Z", True),
        ("NumericGreaterThan", "aws:EpochTime", "1789999999", True),
        ("Bool", "aws:SecureTransport", "true", True),
        ("Bool", "aws:SecureTransport", True, True),
        ("Bool", "aws:SecureTransport", "False", False),
        ("Bool", "aws:ViaAWSService", False, True),
        ("BinaryEquals", "aws:ResourceTag/Stage", "VGVzdA==", False),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24", True),
        ("IpAddress", "aws:SourceIp", "203.0.113.7", True),
        ("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "203.0.0.0/16"], True),
        ("IpAddress", "aws:SourceIp", "2001:db8::/32", False),
        ("NotIpAddress", "aws:SourceIp", "203.0.113.0/24", False),
        ("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "192.168.0.0/16"], True),
        ("ArnEquals", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/alice", True),
        ("ArnEquals", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/*", True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/a????", True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/*", False),
        ("ArnLike", "aws:PrincipalArn", "arn:*:*:*:*:*", True),
        ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:user/b*", True),
        ("ArnNotEquals", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/alice", False),
        ("StringEquals", "aws:PrincipalAccount", ACCOUNT, True),
        ("StringEquals", "aws:ResourceAccount", ACCOUNT, True),
        ("StringEquals", "aws:username", "alice", True),
        ("StringEquals", "aws:PrincipalType", "User", True),
        ("Null", "aws:ResourceTag/Stage", "false", True),
        ("Null", "aws:ResourceTag/Stage", True, False),
        ("Null", "aws:ResourceTag/Nothing", "true", True),
        ("Null", "aws:TokenIssueTime", "true", True),
        # As in AWS where a request does not come through a VPC endpoint.
        ("Null", "aws:SourceVpce", "true", True),
        ("StringEquals", "aws:SourceVpce", "vpce-1", False),
        ("StringNotEquals", "aws:SourceVpce", "vpce-1", True),
        # Keys that are not there
        ("StringEquals", "aws:ResourceTag/Nothing", "", False),
        ("StringLike", "aws:ResourceTag/Nothing", "*", False),
        ("StringNotEquals", "aws:ResourceTag/Nothing", "x", True),
        ("ArnNotLike", "aws:SourceArn", "arn:aws:s3:::x", True),
        ("NotIpAddress", "aws:VpcSourceIp", "10.0.0.0/8", True),
        ("NumericLessThan", "aws:ResourceTag/Nothing", "1", False),
        ("NumericNotEquals", "aws:ResourceTag/Nothing", "1", True),
        ("Bool", "aws:MultiFactorAuthPresent", "false", False),
        ("BoolIfExists", "aws:MultiFactorAuthPresent", "true", True),
        ("StringEqualsIfExists", "aws:ResourceTag/Nothing", "x", True),
        ("StringEqualsIfExists", "aws:ResourceTag/Stage", "x", False),
        ("StringNotEqualsIfExists", "aws:ResourceTag/Nothing", "x", True),
        # Several values in the request
        ("ForAllValues:StringEquals", "aws:TagKeys", ["Owner", "Stage", "More"], True),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["Owner"], False),
        ("ForAllValues:StringLike", "aws:TagKeys", "*", True),
        ("ForAllValues:StringEquals", "aws:ResourceTag/Nothing", "x", True),
        ("ForAllValues:StringNotEquals", "aws:TagKeys", ["Cost"], True),
        ("ForAllValues:StringNotEquals", "aws:TagKeys", ["Cost", "Owner"], False),
        ("ForAnyValue:StringEquals", "aws:TagKeys", ["Owner"], True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", ["owner"], False),
        ("ForAnyValue:StringEqualsIgnoreCase", "aws:TagKeys", ["owner"], True),
        ("ForAnyValue:StringEquals", "aws:ResourceTag/Nothing", "x", False),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", ["Owner"], True),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", ["Owner", "Stage"], False),
        ("ForAnyValue:StringNotEquals", "aws:ResourceTag/Nothing", "x", False),
        ("ForAnyValue:StringEqualsIfExists", "aws:ResourceTag/Nothing", "x", True),
        # Policy variables
        ("StringEquals", "aws:username", "${aws:username}", True),
        ("StringEquals", "aws:username", "${aws:userid}", False),
        ("StringEquals", "aws:username", "${aws:PrincipalTag/team, 'alice'}", True),
        ("StringEquals", "aws:username", "${aws:PrincipalTag/team}", False),
        ("StringNotEquals", "aws:username", "${aws:PrincipalTag/team}", False),
        ("StringNotEquals", "aws:username", ["x", "${aws:PrincipalTag/team}"], False),
        ("StringEquals", "aws:username", ["alice", "${aws:PrincipalTag/team}"], True),
        ("StringNotEqualsIfExists", "aws:ResourceTag/Nothing", "${aws:PrincipalTag/team}", True),
        ("StringEqualsIgnoreCase", "aws:username", "${aws:PrincipalTag/team, 'ALICE'}", True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/${aws:username}", True),
        ("StringLike", "aws:username", "${*}", False),
        ("StringLike", "aws:username", "a${?}ice", False),
    ],
)  # fmt: skip
def test_operators(operator: str, key: str, values: object, expected: bool) -> None:
    assert holds({operator: {key: values}}, TAGGED) is expected


def test_all_operators_and_all_keys_have_to_hold() -> None:
    yes = {"aws:username": "alice"}
    assert holds({"StringEquals": {**yes, "aws:PrincipalAccount": ACCOUNT}, "Bool": {"aws:SecureTransport": "true"}})
    assert not holds({"StringEquals": {**yes, "aws:PrincipalAccount": "0"}, "Bool": {"aws:SecureTransport": "true"}})
    assert not holds({"StringEquals": yes, "Bool": {"aws:SecureTransport": "false"}})
    assert holds({})


def test_addresses_of_both_families() -> None:
    mapped = replace(CONTEXT, source_ip="::ffff:203.0.113.7")
    assert holds({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, mapped)
    six = replace(CONTEXT, source_ip="2001:db8::1")
    assert holds({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}, six)
    assert not holds({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, six)
    assert not holds({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, replace(CONTEXT, source_ip="nonsense"))
    assert not holds({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, replace(CONTEXT, source_ip=None))


def test_sessions_have_keys_of_their_own() -> None:
    session = role_session(tags=(("team", "red"), ("stage", "x")), session_tags=(("team", "blue"),))
    assert holds({"DateGreaterThan": {"aws:TokenIssueTime": "2026-09-21T14:13:19Z"}}, caller=session)
    assert holds({"StringEquals": {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/stage": "x"}}, caller=session)
    assert holds({"StringEquals": {"aws:userid": f"{session.entity.id}:work"}}, caller=session)
    assert holds({"StringEquals": {"aws:PrincipalType": "AssumedRole"}}, caller=session)
    assert holds({"ArnEquals": {"aws:PrincipalArn": session.principal_arn}}, caller=session)
    assert holds({"Null": {"aws:username": "true"}}, caller=session)


def test_attributes_of_caller_and_resource_are_compared() -> None:
    """Access by attributes, as the IAM User Guide teaches it."""
    same_team = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    red = replace(CONTEXT, resource_tags={"team": "red"})
    assert holds(same_team, red, user(tags=(("team", "red"),)))
    assert not holds(same_team, red, user(tags=(("team", "blue"),)))
    assert not holds(same_team, red)
    assert not holds(same_team, CONTEXT, user(tags=(("team", "red"),)))


def test_the_value_of_a_variable_is_never_a_wildcard() -> None:
    starred = user(tags=(("team", "*"),))
    assert not holds({"StringLike": {"aws:username": "${aws:PrincipalTag/team}"}}, caller=starred)
    policy = identity(allow(resource="arn:aws:dsql:*:*:cluster/${aws:PrincipalTag/team}"))
    caller = replace(starred, entity=replace(starred.entity, policies=(policy,)))
    assert not decide(caller, ACTION, CLUSTER, CONTEXT).is_allowed


def test_variables_in_resources() -> None:
    policy = identity(
        allow(resource="arn:aws:dsql:*:${aws:PrincipalAccount}:cluster/${aws:PrincipalTag/cluster, 'x'}*")
    )
    caller = user(policy, tags=(("cluster", CLUSTER.rpartition("/")[2][:5]),))
    assert decide(caller, ACTION, CLUSTER, CONTEXT).is_allowed
    assert not decide(user(policy), ACTION, CLUSTER, CONTEXT).is_allowed
    negated = identity(
        {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:dsql:*:*:cluster/${aws:PrincipalTag/cluster}"}
    )
    assert not decide(user(negated), ACTION, CLUSTER, CONTEXT).is_allowed
    assert decide(user(negated, tags=(("cluster", "x"),)), ACTION, CLUSTER, CONTEXT).is_allowed


def test_the_old_version_knows_no_variables() -> None:
    old = identity(allow(Condition={"StringEquals": {"aws:username": "${aws:username}"}}), version="2008-10-17")
    assert not decide(user(old), ACTION, CLUSTER, CONTEXT).is_allowed
    assert decide(user(old, name="${aws:username}"), ACTION, CLUSTER, CONTEXT).is_allowed


def matches_naively(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches_naively(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches_naively(pattern[1:], text[1:])


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab*", max_size=10))
def test_wildcards_match_as_the_plainest_definition_says(pattern: str, text: str) -> None:
    assert Pattern(pattern, has_wildcards=True, has_variables=False).matches(text, {}) is matches_naively(pattern, text)


@given(
    st.lists(st.text(alphabet="ab*?", max_size=4), min_size=6, max_size=7),
    st.lists(st.text(alphabet="ab", max_size=4), min_size=6, max_size=7),
)
def test_arns_match_segment_by_segment(pattern: list[str], arn: list[str]) -> None:
    pattern[0], arn[0] = "arn", "arn"
    expected = all(matches_naively(p, a) for p, a in zip(pattern[:5], arn[:5], strict=True)) and matches_naively(
        ":".join(pattern[5:]), ":".join(arn[5:])
    )
    made = Pattern(":".join(pattern), has_wildcards=True, has_variables=False, is_arn=True)
    assert made.matches(":".join(arn), {}) is expected


def test_a_hostile_pattern_costs_no_more_than_its_length() -> None:
    hostile = Pattern("*a" * 60 + "b", has_wildcards=True, has_variables=False)
    assert not hostile.matches("a" * 2000, {})

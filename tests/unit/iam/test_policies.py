"""The grammar of policies: what is refused, and that the sentence names the place."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.iam.errors import MalformedPolicy
from borealis.iam.managed_policies import MANAGED_POLICIES
from borealis.iam.policies import PolicyKind, parse_policy
from tests.unit.iam.callers import allow, deny, document
from tests.unit.iam.installation import ACCOUNT, CLUSTER

USER = f"arn:aws:iam::{ACCOUNT}:user/alice"


def refusal(text: str, kind: PolicyKind = PolicyKind.IDENTITY) -> str:
    with pytest.raises(MalformedPolicy) as refused:
        parse_policy(text, kind)
    return str(refused.value)


def without(statement: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != name}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "a policy is a JSON object"),
        ("null", "a policy is a JSON object"),
        ('{"Statement": NaN}', "not JSON: NaN"),
        ('{"Statement": 1' + "0" * 5000 + "}", "number"),
        ("[" * 6_000, "nested too deeply"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}', "Version is there twice"),
        ('{"Version": "2012-10-18", "Statement": []}', "Version: must be"),
        ('{"Version": ["2012-10-17"], "Statement": []}', "Version: must be"),
        ('{"Id": 7, "Statement": []}', "Id: must be a string"),
        ('{"Version": "2012-10-17"}', "Statement: must be"),
        ('{"Version": "2012-10-17", "Statement": []}', "Statement: must be"),
        ('{"Version": "2012-10-17", "Statement": ["x"]}', "Statement 1: must be a JSON object"),
        ('{"version": "2012-10-17", "Statement": []}', "has no element 'version'"),
        (document({**allow(), "Effects": "Allow"}), "Statement 1 has no element 'Effects'"),
        (document(allow(), {**allow(), "Effect": "allow"}), "Statement 2: Effect: must be Allow or Deny"),
        (document({**allow(), "Effect": ["Allow"]}), "Effect: must be Allow or Deny"),
        (document(without(allow(), "Effect")), "Effect: must be Allow or Deny"),
        (document(without(allow(), "Action")), "there must be an Action or a NotAction"),
        (document({**allow(), "NotAction": "*"}), "there is a NotAction too"),
        (document(without(allow(), "Resource")), "there must be a Resource or a NotResource"),
        (document({**allow(), "NotResource": "*"}), "there is a NotResource too"),
        (document(allow(action=[])), "Action: must not be empty"),
        (document(allow(action=["dsql:*", 1])), "Action: must be a string"),
        (document(allow(action="DbConnect")), "'DbConnect' must be \"*\" or service:action"),
        (document(allow(action="*:*")), "must be \"*\" or service:action"),
        (document(allow(action="dsql:Db Connect")), "must be \"*\" or service:action"),
        (document(allow(action="")), "must be \"*\" or service:action"),
        (document(allow(resource="cluster/x")), "cluster/x must be an ARN"),
        (document(allow(resource="arn:aws:dsql:*")), "must be an ARN"),
        (document(allow(resource="arn:aws:dsql:*:cluster/${aws:username}")), "must be an ARN"),
        (document(allow(resource=f"{CLUSTER}${{a b}}")), "is not a policy variable"),
        (document({**allow(), "Sid": "not a word"}), "Sid: must be a string of letters and digits"),
        (document({**allow(), "Sid": "a"}, {**deny(), "Sid": "a"}), "Sid: no two statements"),
        (document({**allow(), "Principal": "*"}), "an identity's policy is about the identity"),
        (document(allow(Condition=[])), "Condition: must be a JSON object"),
        (document(allow(Condition={"StringEquals": {}})), "must be a JSON object of condition keys"),
        (document(allow(Condition={"StringEqual": {"aws:SourceIp": "x"}})), "StringEqual is not a condition operator"),
        (document(allow(Condition={"ForOneValue:StringEquals": {"aws:SourceIp": 1}})), "is not a condition operator"),
        (document(allow(Condition={"NullIfExists": {"aws:SourceIp": "true"}})), "is not a condition operator"),
        (document(allow(Condition={"StringEquals": {"SourceIp": "x"}})), "'SourceIp' is not a condition key"),
        (document(allow(Condition={"StringEquals": {"aws:username": []}})), "must not be empty"),
        (document(allow(Condition={"StringEquals": {"aws:username": {}}})), "must be a string"),
        (document(allow(Condition={"StringEquals": {"aws:username": "a", "AWS:UserName": "b"}})), "in different case"),
        (document(allow(Condition={"Bool": {"aws:SecureTransport": "yes"}})), "'yes' is neither true nor false"),
        (document(allow(Condition={"Null": {"aws:username": "yes"}})), "'yes' is neither true nor false"),
        (document(allow(Condition={"NumericEquals": {"aws:EpochTime": "ten"}})), "'ten' is not a number"),
        (document(allow(Condition={"NumericEquals": {"aws:EpochTime": "Infinity"}})), "is not a number"),
        (document(allow(Condition={"DateEquals": {"aws:CurrentTime": "2026-13-01"}})), "is not a date"),
        (document(allow(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/33"}})), "is not an address range"),
        (document(allow(Condition={"ArnLike": {"aws:PrincipalArn": "alice"}})), "must be an ARN"),
        (document(allow(Condition={"BinaryEquals": {"aws:username": "?"}})), "is not base64"),
    ],
)  # fmt: skip
def test_what_breaks_the_grammar_is_refused_with_its_place(text: str, says: str) -> None:
    assert says in refusal(text)


@pytest.mark.parametrize(
    ("principal", "says"),
    [
        ("alice", 'must be "*" or a JSON object'),
        ({}, 'must be "*" or a JSON object'),
        ({"AWS": []}, "must be a string or a list of strings"),
        ({"AWS": ["*", 1]}, "must be a string or a list of strings"),
        ({"Aws": "*"}, "'Aws' is not a kind of principal"),
        ({"AWS": "alice"}, "'alice' is not a principal"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}, "is not a principal"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:group/all"}, "is not a principal"),
        ({"AWS": "arn:aws:iam::*:root"}, "is not a principal"),
        ({"AWS": "1234"}, "is not a principal"),
    ],
)  # fmt: skip
def test_principals_that_are_none(principal: Any, says: str) -> None:
    assert says in refusal(document({**allow(), "Principal": principal}), PolicyKind.RESOURCE)


def test_each_kind_of_policy_has_its_elements() -> None:
    for_resource = {**allow(), "Principal": {"AWS": USER}, "Sid": "words are fine here"}
    parse_policy(document(for_resource), PolicyKind.RESOURCE)
    assert "Principal" in refusal(document(allow()), PolicyKind.RESOURCE)
    both = {**for_resource, "NotPrincipal": "*"}
    assert "and not both" in refusal(document(both), PolicyKind.RESOURCE)
    trust = without(for_resource, "Resource")
    parse_policy(document(trust), PolicyKind.TRUST)
    assert "is about the role" in refusal(document(for_resource), PolicyKind.TRUST)
    assert "Resource" in refusal(document(trust), PolicyKind.RESOURCE)


def test_a_single_statement_needs_no_list() -> None:
    policy = parse_policy(json.dumps({"Statement": allow()}), PolicyKind.IDENTITY)
    assert len(policy.statements) == 1


def test_lengths_are_bounded() -> None:
    long = document(*({**allow(), "Sid": f"n{number}"} for number in range(200)))
    assert "at most 6144 characters" in refusal(long)
    assert "at most 4096 characters" in refusal(long, PolicyKind.TRUST)
    parse_policy(json.dumps(json.loads(document(allow())), indent=8), PolicyKind.IDENTITY)
    assert "at most 20480" in refusal(document({**allow(), "Principal": "*", "Sid": "x" * 20_480}), PolicyKind.RESOURCE)
    assert "at most 6144" in refusal(document(allow()) + " " * 32_768)


def test_policies_of_the_product_parse() -> None:
    for policy in MANAGED_POLICIES:
        parse_policy(policy.document, PolicyKind.IDENTITY)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["Allow", "*", "dsql:*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Version",
                    "Statement",
                    "Effect",
                    "Action",
                    "Resource",
                    "Principal",
                    "AWS",
                    "Condition",
                    "Bool",
                    "aws:SourceIp",
                    "Sid",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from(PolicyKind))
def test_any_document_is_taken_or_refused(value: Any, kind: PolicyKind) -> None:
    with suppress(MalformedPolicy):
        parse_policy(json.dumps(value), kind)


@given(st.dictionaries(st.sampled_from(["Effect", "Action", "Resource", "Condition", "Principal", "Sid"]), json_values))
def test_any_statement_is_taken_or_refused(value: Any) -> None:
    with suppress(MalformedPolicy):
        parse_policy(json.dumps({"Statement": {**allow(), "Principal": "*", **value}}), PolicyKind.RESOURCE)

"""Who may do what over the API: signatures, identity policies with tags and addresses, resource policies."""

import json
from typing import Any

import pytest

from tests.integration.control.clusters import make_cluster, refusal, unique
from tests.integration.control.running_control import RunningControl

ANY_CLUSTER = "arn:aws:dsql:us-east-1:000000000000:cluster/*"
ROOT = "arn:aws:iam::000000000000:root"


def allow(*actions: str, resource: str = ANY_CLUSTER, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def resource_policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def grant(principal: str, *actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": list(actions), "Resource": "*", **more}


def test_who_may_nothing_is_refused_everything(client: Any, shared: RunningControl) -> None:
    identifier = make_cluster(client)
    arn = client.get_cluster(identifier=identifier)["arn"]
    name = unique()
    nobody = shared.client(shared.user(name))
    user = f"arn:aws:iam::000000000000:user/{name}"
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("CreateCluster", ANY_CLUSTER, {}),
        ("GetCluster", arn, {"identifier": identifier}),
        ("UpdateCluster", arn, {"identifier": identifier, "deletionProtectionEnabled": True}),
        ("DeleteCluster", arn, {"identifier": identifier}),
        ("ListClusters", "*", {}),
        ("PutClusterPolicy", arn, {"identifier": identifier, "policy": resource_policy(grant(user, "dsql:*"))}),
        ("GetClusterPolicy", arn, {"identifier": identifier}),
        ("DeleteClusterPolicy", arn, {"identifier": identifier}),
        ("GetVpcEndpointServiceName", arn, {"identifier": identifier}),
        ("TagResource", arn, {"resourceArn": arn, "tags": {"a": "b"}}),
        ("UntagResource", arn, {"resourceArn": arn, "tagKeys": ["a"]}),
        ("ListTagsForResource", arn, {"resourceArn": arn}),
    ]
    for operation, resource, members in calls:
        answer = refusal("AccessDeniedException", nobody._make_api_call, operation_name=operation, api_params=members)
        assert answer["message"] == (
            f"User: {user} is not authorized to perform: dsql:{operation} on resource: {resource} "
            f"because no identity-based policy allows the dsql:{operation} action"
        )
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    found = client.get_cluster(identifier=identifier)
    assert found["deletionProtectionEnabled"] is False
    assert found["tags"] == {}


def test_who_may_not_look_does_not_learn_what_exists(shared: RunningControl) -> None:
    nobody = shared.client(shared.user(unique()))
    refusal("AccessDeniedException", nobody.get_cluster, identifier="x" * 26)


def test_tags_of_the_cluster_decide(client: Any, shared: RunningControl) -> None:
    mine, other = make_cluster(client, tags={"team": "blue"}), make_cluster(client, tags={"team": "red"})
    condition = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    blue = shared.client(shared.user(unique(), allow("dsql:GetCluster", "dsql:DeleteCluster", Condition=condition)))
    assert blue.get_cluster(identifier=mine)["identifier"] == mine
    refusal("AccessDeniedException", blue.get_cluster, identifier=other)
    client.tag_resource(resourceArn=client.get_cluster(identifier=other)["arn"], tags={"team": "blue"})
    assert blue.get_cluster(identifier=other)["identifier"] == other
    client.untag_resource(resourceArn=client.get_cluster(identifier=other)["arn"], tagKeys=["team"])
    refusal("AccessDeniedException", blue.delete_cluster, identifier=other)


def test_tags_of_the_request_decide(client: Any, shared: RunningControl) -> None:
    arn = client.get_cluster(identifier=make_cluster(client))["arn"]
    condition = {
        "StringEquals": {"aws:RequestTag/team": "blue"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "name"]},
    }
    create = allow("dsql:CreateCluster", "dsql:TagResource", Condition=condition)
    keys = {"ForAnyValue:StringEquals": {"aws:TagKeys": ["name"]}}
    user = shared.client(shared.user(unique(), create, allow("dsql:UntagResource", Condition=keys)))
    user.create_cluster(tags={"team": "blue", "name": "x"})
    refusal("AccessDeniedException", user.create_cluster, tags={"team": "red"})
    refusal("AccessDeniedException", user.create_cluster, tags={"team": "blue", "more": "x"})
    refusal("AccessDeniedException", user.create_cluster)
    user.tag_resource(resourceArn=arn, tags={"team": "blue"})
    refusal("AccessDeniedException", user.tag_resource, resourceArn=arn, tags={"name": "x"})
    user.untag_resource(resourceArn=arn, tagKeys=["name"])
    refusal("AccessDeniedException", user.untag_resource, resourceArn=arn, tagKeys=["team"])


def test_creating_with_tags_or_a_policy_takes_their_permissions(shared: RunningControl) -> None:
    user = shared.client(shared.user(unique(), allow("dsql:CreateCluster")))
    user.create_cluster()
    answer = refusal("AccessDeniedException", user.create_cluster, tags={"a": "b"})
    assert "dsql:TagResource" in answer["message"]
    policy = resource_policy(grant(ROOT, "dsql:*"))
    answer = refusal("AccessDeniedException", user.create_cluster, policy=policy)
    assert "dsql:PutClusterPolicy" in answer["message"]


def test_the_address_decides(shared: RunningControl) -> None:
    near = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    far = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    anything = "*"
    allowed = shared.client(shared.user(unique(), allow("dsql:ListClusters", resource=anything, Condition=near)))
    allowed.list_clusters()
    refused = shared.client(shared.user(unique(), allow("dsql:ListClusters", resource=anything, Condition=far)))
    refusal("AccessDeniedException", refused.list_clusters)


def test_listing_is_about_no_resource(shared: RunningControl) -> None:
    user = shared.client(shared.user(unique(), allow("dsql:ListClusters")))
    refusal("AccessDeniedException", user.list_clusters)


def test_an_explicit_deny_wins(client: Any, shared: RunningControl) -> None:
    identifier = make_cluster(client)
    deny = {"Effect": "Deny", "Action": "dsql:Delete*", "Resource": "*"}
    user = shared.client(shared.user(unique(), allow("dsql:*"), deny))
    user.get_cluster(identifier=identifier)
    answer = refusal("AccessDeniedException", user.delete_cluster, identifier=identifier)
    assert answer["message"].endswith("with an explicit deny in an identity-based policy")


def test_a_resource_policy_lets_in_and_keeps_out(client: Any, shared: RunningControl) -> None:
    identifier = make_cluster(client)
    name = unique()
    user = shared.client(shared.user(name))
    refusal("AccessDeniedException", user.get_cluster, identifier=identifier)
    arn = f"arn:aws:iam::000000000000:user/{name}"
    client.put_cluster_policy(identifier=identifier, policy=resource_policy(grant(arn, "dsql:GetCluster")))
    assert user.get_cluster(identifier=identifier)["identifier"] == identifier
    refusal("AccessDeniedException", user.delete_cluster, identifier=identifier)
    keep_out = {**grant(ROOT, "dsql:DeleteCluster"), "Effect": "Deny"}
    client.put_cluster_policy(identifier=identifier, policy=resource_policy(keep_out))
    answer = refusal("AccessDeniedException", client.delete_cluster, identifier=identifier)
    assert answer["message"].endswith("with an explicit deny in a resource-based policy")
    client.delete_cluster_policy(identifier=identifier)
    client.delete_cluster(identifier=identifier)


def test_another_account_needs_both_policies(client: Any, shared: RunningControl) -> None:
    identifier = make_cluster(client)
    account = "222222222222"
    may = shared.client(shared.user(unique(), allow("dsql:*", resource="*"), account=account))
    may_not = shared.client(shared.user(unique(), account=account))
    refusal("AccessDeniedException", may.get_cluster, identifier=identifier)
    policy = resource_policy(grant(f"arn:aws:iam::{account}:root", "dsql:GetCluster"))
    client.put_cluster_policy(identifier=identifier, policy=policy)
    assert may.get_cluster(identifier=identifier)["identifier"] == identifier
    refusal("AccessDeniedException", may.delete_cluster, identifier=identifier)
    refusal("AccessDeniedException", may_not.get_cluster, identifier=identifier)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA"}, "UnrecognizedClientException"),
        ({"aws_session_token": "forged"}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-1"}, "InvalidSignatureException"),
    ],
)
def test_a_wrong_signature_is_refused(shared: RunningControl, change: dict[str, str], code: str) -> None:
    answer = refusal(code, shared.client(**change).list_clusters)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_temporary_credentials_act_as_their_role(client: Any, shared: RunningControl) -> None:
    identifier, name = make_cluster(client), unique()
    session = shared.role_session(name, allow("dsql:GetCluster"))
    key = (session.access_key_id, session.secret.reveal())
    role = shared.client(key, aws_session_token=session.session_token.reveal())
    assert role.get_cluster(identifier=identifier)["identifier"] == identifier
    answer = refusal("AccessDeniedException", role.delete_cluster, identifier=identifier)
    assert answer["message"].startswith(
        f"User: arn:aws:sts::000000000000:assumed-role/{name}/session is not authorized"
    )
    refusal("UnrecognizedClientException", shared.client(key).get_cluster, identifier=identifier)


def test_a_key_that_is_taken_away_works_no_more(shared: RunningControl) -> None:
    key = shared.user(unique(), allow("dsql:ListClusters", resource="*"))
    user = shared.client(key)
    user.list_clusters()
    shared.deactivate(key[0])
    refusal("UnrecognizedClientException", user.list_clusters)

"""Resource policies over the API: versions, lockout, what is refused."""

import json
from typing import Any

import pytest

from tests.integration.control.clusters import make_cluster, refusal, unique, wait_gone

ADMINISTRATOR = "arn:aws:iam::000000000000:user/administrator"


def policy(effect: str = "Allow", principal: str = ADMINISTRATOR, action: str = "dsql:*") -> str:
    statement = {"Effect": effect, "Principal": {"AWS": principal}, "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


# Keeps the administrator from mending it.
LOCKOUT = policy("Deny", action="dsql:PutClusterPolicy")


def test_versions_count_the_changes(client: Any) -> None:
    identifier = make_cluster(client)
    answer = refusal("ResourceNotFoundException", client.get_cluster_policy, identifier=identifier)
    assert (answer["resourceId"], answer["resourceType"]) == (identifier, "cluster-policy")
    first = policy() + " "
    assert client.put_cluster_policy(identifier=identifier, policy=first)["policyVersion"] == "1"
    found = client.get_cluster_policy(identifier=identifier)
    assert (found["policy"], found["policyVersion"]) == (first, "1")
    assert client.put_cluster_policy(identifier=identifier, policy=policy())["policyVersion"] == "2"
    assert client.delete_cluster_policy(identifier=identifier)["policyVersion"] == "2"
    refusal("ResourceNotFoundException", client.get_cluster_policy, identifier=identifier)
    refusal("ResourceNotFoundException", client.delete_cluster_policy, identifier=identifier)
    assert client.put_cluster_policy(identifier=identifier, policy=policy())["policyVersion"] == "3"


def test_an_expected_version_has_to_be_the_current_one(client: Any) -> None:
    identifier = make_cluster(client)

    def put(**members: Any) -> str:
        return str(client.put_cluster_policy(identifier=identifier, policy=policy(), **members)["policyVersion"])

    answer = refusal("ConflictException", put, expectedPolicyVersion="1")
    assert (answer["resourceId"], answer["resourceType"]) == (identifier, "cluster-policy")
    put()
    assert put(expectedPolicyVersion="1") == "2"
    refusal("ConflictException", put, expectedPolicyVersion="1")
    refusal("ConflictException", put, expectedPolicyVersion="two")
    refusal("ConflictException", client.delete_cluster_policy, identifier=identifier, expectedPolicyVersion="1")
    client.delete_cluster_policy(identifier=identifier, expectedPolicyVersion="2")
    refusal("ConflictException", put, expectedPolicyVersion="2")


def test_nobody_locks_himself_out_by_mistake(client: Any) -> None:
    identifier = make_cluster(client)
    answer = refusal("ValidationException", client.put_cluster_policy, identifier=identifier, policy=LOCKOUT)
    assert answer["reason"] == "fieldValidationFailed"
    assert [problem["name"] for problem in answer["fieldList"]] == ["policy"]
    assert "dsql:PutClusterPolicy" in answer["message"]
    refusal("ResourceNotFoundException", client.get_cluster_policy, identifier=identifier)
    client.put_cluster_policy(identifier=identifier, policy=LOCKOUT, bypassPolicyLockoutSafetyCheck=True)
    refusal("AccessDeniedException", client.put_cluster_policy, identifier=identifier, policy=policy())


def test_a_cluster_is_created_with_a_policy(client: Any) -> None:
    refusal("ValidationException", client.create_cluster, policy=LOCKOUT)
    identifier = make_cluster(client, policy=policy())
    found = client.get_cluster_policy(identifier=identifier)
    assert (found["policy"], found["policyVersion"]) == (policy(), "1")
    locked = client.create_cluster(policy=LOCKOUT, bypassPolicyLockoutSafetyCheck=True)
    assert client.get_cluster_policy(identifier=locked["identifier"])["policy"] == LOCKOUT


def test_a_repeated_put_is_one(client: Any) -> None:
    identifier = make_cluster(client)
    token = unique()
    for _ in range(2):
        answer = client.put_cluster_policy(identifier=identifier, policy=policy(), clientToken=token)
        assert answer["policyVersion"] == "1"
    for _ in range(2):
        assert client.delete_cluster_policy(identifier=identifier, clientToken=token)["policyVersion"] == "1"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "{}",
        '{"Version": "2012-10-17"}',
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "dsql:*", "Resource": "*"}]}',
        policy("Maybe"),
        "[" * 20000,
        "\0",
    ],
)
def test_what_is_no_policy_is_refused(client: Any, text: str) -> None:
    identifier = make_cluster(client)
    answer = refusal("ValidationException", client.put_cluster_policy, identifier=identifier, policy=text)
    assert [problem["name"] for problem in answer["fieldList"]] == ["policy"]


def test_the_policy_goes_with_the_cluster(client: Any) -> None:
    identifier = make_cluster(client, policy=policy())
    client.delete_cluster(identifier=identifier)
    wait_gone(client, identifier)
    refusal("ResourceNotFoundException", client.get_cluster_policy, identifier=identifier)

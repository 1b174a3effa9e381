"""Tags over the API."""

from typing import Any

import pytest

from tests.integration.control.clusters import make_cluster, refusal


def make_arn(client: Any, **members: Any) -> str:
    return str(client.get_cluster(identifier=make_cluster(client, **members))["arn"])


def test_tags_come_and_go(client: Any) -> None:
    arn = make_arn(client, tags={"a": "1", "b": "2"})
    client.tag_resource(resourceArn=arn, tags={"b": "3", "c": ""})
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1", "b": "3", "c": ""}
    client.untag_resource(resourceArn=arn, tagKeys=["a", "c", "unknown"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}
    assert client.get_cluster(identifier=arn.rpartition("/")[2])["tags"] == {"b": "3"}
    client.tag_resource(resourceArn=arn, tags={})
    # An empty list leaves no trace in a query string.
    refusal("ValidationException", client.untag_resource, resourceArn=arn, tagKeys=[])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}


def test_a_key_may_hold_everything_that_the_model_allows(client: Any) -> None:
    arn = make_arn(client)
    tags = {"a b_.:/=+-@Z9": "a b_.:/=+-@Z9", "x" * 128: "y" * 256}
    client.tag_resource(resourceArn=arn, tags=tags)
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    client.untag_resource(resourceArn=arn, tagKeys=list(tags))
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {}


def test_a_resource_has_200_tags_at_most(client: Any) -> None:
    arn = make_arn(client, tags={str(number): "" for number in range(200)})
    client.tag_resource(resourceArn=arn, tags={"0": "new"})
    answer = refusal("ServiceQuotaExceededException", client.tag_resource, resourceArn=arn, tags={"more": ""})
    assert (answer["resourceId"], answer["resourceType"], answer["quotaCode"]) == (arn, "resource", "tags-per-resource")
    assert len(client.list_tags_for_resource(resourceArn=arn)["tags"]) == 200


@pytest.mark.parametrize("operation", ["tag_resource", "untag_resource", "list_tags_for_resource"])
@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:dsql:us-east-1:000000000000:cluster/" + "x" * 26,
        "arn:aws:dsql:us-east-1:000000000000:cluster/" + "x" * 26 + "/stream/" + "y" * 26,
        "arn:aws:s3:::bucket/key",
        "arn:é%2F?&",
    ],
)
def test_other_resources_are_not_found(client: Any, operation: str, arn: str) -> None:
    members: dict[str, Any] = {"tag_resource": {"tags": {"a": "b"}}, "untag_resource": {"tagKeys": ["a"]}}
    answer = refusal(
        "ResourceNotFoundException", getattr(client, operation), resourceArn=arn, **members.get(operation, {})
    )
    assert (answer["resourceId"], answer["resourceType"]) == (arn, "resource")


@pytest.mark.parametrize("where", ["us-west-2:000000000000", "us-east-1:111111111111"])
def test_an_arn_names_a_cluster_where_it_is(client: Any, where: str) -> None:
    arn = make_arn(client).replace("us-east-1:000000000000", where)
    code = "ResourceNotFoundException" if where.endswith("000000000000") else "AccessDeniedException"
    refusal(code, client.list_tags_for_resource, resourceArn=arn)


def test_what_is_wrong_is_said_of_each_tag(client: Any) -> None:
    arn = make_arn(client)
    answer = refusal("ValidationException", client.tag_resource, resourceArn=arn, tags={"é": "x", "a": "y" * 300})
    assert {problem["name"] for problem in answer["fieldList"]} == {"tags.é", "tags.a"}
    answer = refusal("ValidationException", client.untag_resource, resourceArn=arn, tagKeys=["aws:mine"])
    assert answer["reason"] == "fieldValidationFailed"
    answer = refusal("ValidationException", client.list_tags_for_resource, resourceArn="x")
    assert [problem["name"] for problem in answer["fieldList"]] == ["resourceArn"]

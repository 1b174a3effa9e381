"""Clusters over the API, with boto3 as a user has it."""

import datetime
import re
from typing import Any

import pytest

from tests.integration.control.clusters import make_cluster, refusal, unique, wait_active, wait_gone, wait_status
from tests.integration.control.conftest import MakeControl
from tests.integration.control.running_control import RunningControl


def test_a_cluster_is_created_and_becomes_active(client: Any, shared: RunningControl) -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(milliseconds=1)
    created = client.create_cluster(tags={"Name": "first", "empty": ""})
    identifier = created["identifier"]
    assert re.fullmatch("[a-z0-9]{26}", identifier)
    assert before <= created["creationTime"] <= datetime.datetime.now(datetime.UTC)
    expected = {
        "identifier": identifier,
        "arn": f"arn:aws:dsql:us-east-1:000000000000:cluster/{identifier}",
        "creationTime": created["creationTime"],
        "deletionProtectionEnabled": True,
        "encryptionDetails": {"encryptionType": "AWS_OWNED_KMS_KEY", "encryptionStatus": "ENABLED"},
        "endpoint": f"{identifier}.dsql.us-east-1.localhost",
        "metricGroups": [],
    }
    del created["ResponseMetadata"]
    assert created == {**expected, "status": "CREATING"}
    wait_active(client, identifier)
    found = client.get_cluster(identifier=identifier)
    del found["ResponseMetadata"]
    assert found == {**expected, "status": "ACTIVE", "tags": {"Name": "first", "empty": ""}}
    assert identifier in shared.hosted


def test_a_cluster_that_was_started_ahead_is_given_away(client: Any, shared: RunningControl) -> None:
    shared.tell_host("ahead", "a" * 26, "b" * 26)
    assert client.create_cluster()["identifier"] == "a" * 26
    assert client.create_cluster()["identifier"] == "b" * 26
    assert client.create_cluster()["identifier"] not in ("a" * 26, "b" * 26)
    wait_active(client, "a" * 26)


def test_a_cluster_is_updated(client: Any) -> None:
    identifier = make_cluster(client)
    key = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    updated = client.update_cluster(
        identifier=identifier,
        deletionProtectionEnabled=True,
        kmsEncryptionKey=key,
        metricGroups=[{"metricGroup": "STATEMENT_STATISTICS"}],
    )
    assert updated["status"] == "UPDATING"
    assert updated["identifier"] == identifier
    wait_active(client, identifier)
    found = client.get_cluster(identifier=identifier)
    assert found["deletionProtectionEnabled"] is True
    assert found["encryptionDetails"] == {
        "encryptionType": "CUSTOMER_MANAGED_KMS_KEY",
        "encryptionStatus": "ENABLED",
        "kmsKeyArn": key,
    }
    assert found["metricGroups"] == [{"metricGroup": "STATEMENT_STATISTICS"}]
    client.update_cluster(identifier=identifier, kmsEncryptionKey="AWS_OWNED_KMS_KEY", metricGroups=[])
    found = client.get_cluster(identifier=identifier)
    assert found["encryptionDetails"]["encryptionType"] == "AWS_OWNED_KMS_KEY"
    assert found["metricGroups"] == []
    assert found["deletionProtectionEnabled"] is True


@pytest.mark.parametrize(
    ("named", "arn"),
    [
        ("alias/mine", "arn:aws:kms:us-east-1:000000000000:alias/mine"),
        ("1234abcd", "arn:aws:kms:us-east-1:000000000000:key/1234abcd"),
        ("arn:aws:kms:eu-west-1:111111111111:key/x", "arn:aws:kms:eu-west-1:111111111111:key/x"),
    ],
)
def test_a_key_may_be_named_in_several_ways(client: Any, named: str, arn: str) -> None:
    created = client.create_cluster(kmsEncryptionKey=named)
    assert created["encryptionDetails"]["kmsKeyArn"] == arn
    assert created["encryptionDetails"]["encryptionStatus"] == "ENABLING"


def test_a_cluster_is_deleted_once_it_is_not_protected(client: Any, shared: RunningControl) -> None:
    identifier = make_cluster(client, deletionProtectionEnabled=True)
    answer = refusal("ValidationException", client.delete_cluster, identifier=identifier)
    assert answer["reason"] == "deletionProtectionEnabled"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    client.update_cluster(identifier=identifier, deletionProtectionEnabled=False)
    shared.tell_host("hold")
    deleted = client.delete_cluster(identifier=identifier)
    assert deleted["status"] == "DELETING"
    assert client.get_cluster(identifier=identifier)["status"] == "DELETING"
    assert client.delete_cluster(identifier=identifier)["status"] == "DELETING"
    answer = refusal("ConflictException", client.update_cluster, identifier=identifier, deletionProtectionEnabled=True)
    assert (answer["resourceId"], answer["resourceType"]) == (identifier, "cluster")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 409
    shared.ask_host_no_more("hold")
    wait_gone(client, identifier)
    assert identifier not in shared.hosted


@pytest.mark.parametrize("operation", ["get_cluster", "update_cluster", "delete_cluster", "get_cluster_policy"])
def test_an_unknown_cluster_is_not_found(client: Any, operation: str) -> None:
    answer = refusal("ResourceNotFoundException", getattr(client, operation), identifier="x" * 26)
    assert (answer["resourceId"], answer["resourceType"]) == ("x" * 26, "cluster")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_an_endpoint_service_name_follows_the_pattern(client: Any) -> None:
    identifier = make_cluster(client)
    answer = client.get_vpc_endpoint_service_name(identifier=identifier)
    assert answer["serviceName"] == "com.amazonaws.us-east-1.dsql"
    assert answer["clusterVpcEndpoint"] == f"{identifier}.dsql.us-east-1.localhost"


def test_clusters_are_listed_page_by_page(client: Any) -> None:
    made = [client.create_cluster()["identifier"] for _ in range(7)]
    pages = list(client.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 3}))
    assert all(len(page["clusters"]) == 3 for page in pages[:-1])
    listed = [cluster["identifier"] for page in pages for cluster in page["clusters"]]
    assert len(listed) == len(set(listed))
    assert listed[-7:] == made
    assert [cluster["identifier"] for cluster in client.list_clusters()["clusters"]][-7:] == made
    assert "nextToken" not in client.list_clusters(maxResults=100)


@pytest.mark.parametrize("token", ["", "x", "W10=", "WzEsMl0=", "é", "WzEsICJ4Il0=", "A" * 1000])
def test_a_list_goes_on_only_from_its_own_tokens(client: Any, token: str) -> None:
    answer = refusal("ValidationException", client.list_clusters, nextToken=token)
    assert answer["reason"] == "fieldValidationFailed"
    assert answer["fieldList"][0]["name"] == "nextToken"


@pytest.mark.parametrize("count", [0, 101, -1, "many"])
def test_a_page_has_a_size(client: Any, count: object) -> None:
    answer = refusal("ValidationException", client.list_clusters, maxResults=count)
    assert answer["fieldList"][0]["name"] == "maxResults"


def test_the_quota_is_402(make_control: MakeControl) -> None:
    control = make_control("--clusters-max", "2")
    control.start()
    client = control.client()
    token = unique()
    first = make_cluster(client, clientToken=token)
    make_cluster(client)
    answer = refusal("ServiceQuotaExceededException", client.create_cluster)
    assert answer["Error"]["Message"] == "You have reached the cluster limit."
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 402
    assert (answer["serviceCode"], answer["quotaCode"]) == ("dsql", "clusters-per-account")
    assert (answer["resourceId"], answer["resourceType"]) == ("000000000000", "cluster")
    # A repeated request is no new cluster.
    assert client.create_cluster(clientToken=token, deletionProtectionEnabled=False)["identifier"] == first
    client.delete_cluster(identifier=first)
    wait_gone(client, first)
    make_cluster(client)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"tags": {"aws:mine": "x"}}, "tags.aws:mine"),
        ({"tags": {"AWS:mine": "x"}}, "tags.AWS:mine"),
        ({"tags": {"é": "x"}}, "tags.é"),
        ({"tags": {"": "x"}}, "tags."),
        ({"tags": {"x": "y" * 257}}, "tags.x"),
        ({"tags": {str(number): "" for number in range(201)}}, "tags"),
        ({"tags": {"x": None, "y": 1}}, "tags.y"),
        ({"clientToken": ""}, "clientToken"),
        ({"clientToken": "x" * 129}, "clientToken"),
        ({"clientToken": "white space"}, "clientToken"),
        ({"deletionProtectionEnabled": "true"}, "deletionProtectionEnabled"),
        ({"kmsEncryptionKey": "white space"}, "kmsEncryptionKey"),
        ({"kmsEncryptionKey": "arn:aws:s3:::key"}, "kmsEncryptionKey"),
        ({"metricGroups": [{"metricGroup": "ALL"}]}, "metricGroups[0].metricGroup"),
        ({"metricGroups": [{}]}, "metricGroups[0].metricGroup"),
        ({"metricGroups": [{"metricGroup": "STATEMENT_STATISTICS"}] * 2}, "metricGroups"),
        ({"multiRegionProperties": {"witnessRegion": "us-west-2"}}, "multiRegionProperties"),
        ({"multiRegionProperties": {"clusters": ["x"]}}, "multiRegionProperties.clusters[0]"),
        ({"policy": ""}, "policy"),
        ({"policy": "{}"}, "policy"),
        ({"policy": "x" * 20481}, "policy"),
    ],
)
def test_what_is_wrong_is_said_of_each_member(client: Any, members: dict[str, Any], field: str) -> None:
    answer = refusal("ValidationException", client.create_cluster, **members)
    assert answer["reason"] == "fieldValidationFailed"
    assert field in [problem["name"] for problem in answer["fieldList"]]
    assert all(problem["message"] for problem in answer["fieldList"])


def test_everything_that_is_wrong_is_said_at_once(client: Any) -> None:
    answer = refusal("ValidationException", client.update_cluster, identifier="X", kmsEncryptionKey="", clientToken="é")
    assert {problem["name"] for problem in answer["fieldList"]} == {"identifier", "kmsEncryptionKey", "clientToken"}
    assert "validation errors detected" in answer["message"]


def test_an_empty_multi_region_structure_asks_for_nothing(client: Any) -> None:
    assert client.create_cluster(multiRegionProperties={})["status"] == "CREATING"


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("list_streams", {"clusterIdentifier": "x" * 26}),
        ("get_stream", {"clusterIdentifier": "x" * 26, "streamIdentifier": "x" * 26}),
        ("delete_stream", {"clusterIdentifier": "x" * 26, "streamIdentifier": "x" * 26}),
        (
            "create_stream",
            {
                "clusterIdentifier": "x" * 26,
                "targetDefinition": {"kinesis": {"streamArn": "x", "roleArn": "y"}},
                "ordering": "UNORDERED",
                "format": "JSON",
            },
        ),
    ],
)
def test_streams_are_said_to_be_missing(client: Any, operation: str, members: dict[str, Any]) -> None:
    answer = refusal("ValidationException", getattr(client, operation), **members)
    assert answer["reason"] == "other"
    assert "not supported" in answer["message"]


def test_a_cluster_that_sleeps_is_inactive(client: Any, shared: RunningControl) -> None:
    identifier = make_cluster(client)
    shared.tell_host("asleep", identifier)
    wait_status(client, identifier, "INACTIVE")
    assert client.update_cluster(identifier=identifier, deletionProtectionEnabled=False)["status"] == "UPDATING"

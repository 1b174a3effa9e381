"""Client tokens: what is repeated happens once."""

import threading
from typing import Any

from tests.integration.control.clusters import make_cluster, refusal, unique, wait_gone
from tests.integration.control.running_control import RunningControl


def test_a_repeated_creation_is_one(client: Any) -> None:
    token = unique()
    before = len(client.list_clusters()["clusters"])
    answers = [client.create_cluster(clientToken=token, tags={"a": "1", "b": "2"}) for _ in range(3)]
    answers.append(client.create_cluster(clientToken=token, tags={"b": "2", "a": "1"}))
    assert len({answer["identifier"] for answer in answers}) == 1
    assert {answer["status"] for answer in answers} == {"CREATING"}
    assert len(client.list_clusters()["clusters"]) == before + 1


def test_a_token_belongs_to_its_parameters_and_its_operation(client: Any) -> None:
    token = unique()
    identifier = make_cluster(client, clientToken=token)
    answer = refusal("ConflictException", client.create_cluster, clientToken=token, tags={"a": "2"})
    assert "client token" in answer["message"]
    client.update_cluster(identifier=identifier, clientToken=token, metricGroups=[])
    client.delete_cluster(identifier=identifier, clientToken=token)


def test_a_token_belongs_to_its_account(client: Any, shared: RunningControl) -> None:
    token = unique()
    mine = make_cluster(client, clientToken=token)
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    other = shared.client(shared.user(unique(), allow, account="111111111111"))
    theirs = other.create_cluster(clientToken=token, deletionProtectionEnabled=False)
    assert theirs["identifier"] != mine
    assert theirs["arn"] == f"arn:aws:dsql:us-east-1:111111111111:cluster/{theirs['identifier']}"
    assert [cluster["identifier"] for cluster in other.list_clusters()["clusters"]] == [theirs["identifier"]]


def test_what_failed_may_be_repeated_with_its_token(client: Any) -> None:
    token = unique()
    refusal("ResourceNotFoundException", client.delete_cluster, identifier="x" * 26, clientToken=token)
    identifier = make_cluster(client)
    client.delete_cluster(identifier=identifier, clientToken=token)


def test_a_deletion_is_answered_again_when_the_cluster_is_gone(client: Any) -> None:
    identifier = make_cluster(client)
    token = unique()
    first = client.delete_cluster(identifier=identifier, clientToken=token)
    wait_gone(client, identifier)
    again = client.delete_cluster(identifier=identifier, clientToken=token)
    assert (again["status"], again["creationTime"]) == ("DELETING", first["creationTime"])
    refusal("ResourceNotFoundException", client.delete_cluster, identifier=identifier)


def test_an_update_is_made_once(client: Any) -> None:
    identifier = make_cluster(client)
    token = unique()
    client.update_cluster(identifier=identifier, clientToken=token, deletionProtectionEnabled=True)
    client.update_cluster(identifier=identifier, deletionProtectionEnabled=False)
    client.update_cluster(identifier=identifier, clientToken=token, deletionProtectionEnabled=True)
    assert client.get_cluster(identifier=identifier)["deletionProtectionEnabled"] is False


def test_concurrent_repetitions_make_one_cluster(shared: RunningControl) -> None:
    token = unique()
    answers: list[str] = []
    gate = threading.Barrier(12)

    def create() -> None:
        client = shared.client()
        gate.wait()
        for _ in range(5):
            answers.append(client.create_cluster(clientToken=token)["identifier"])

    threads = [threading.Thread(target=create) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 60
    assert len({*answers}) == 1

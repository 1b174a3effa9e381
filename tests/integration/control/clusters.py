"""Clusters of tests: made, waited for, and what went wrong with them."""

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.waiting import wait_until

# The waiters of boto3 look every two seconds; here it takes milliseconds.
WAIT = {"Delay": 0.02, "MaxAttempts": 1000}


def make_cluster(client: Any, **members: Any) -> str:
    """The identifier of a cluster that is ACTIVE, and may be deleted."""
    made = client.create_cluster(**{"deletionProtectionEnabled": False, **members})
    wait_active(client, made["identifier"])
    return str(made["identifier"])


def wait_active(client: Any, identifier: str) -> None:
    client.get_waiter("cluster_active").wait(identifier=identifier, WaiterConfig=WAIT)


def wait_gone(client: Any, identifier: str) -> None:
    client.get_waiter("cluster_not_exists").wait(identifier=identifier, WaiterConfig=WAIT)


def wait_status(client: Any, identifier: str, status: str) -> None:
    """What the service's own tasks bring about; no event tells of it, like for the waiters of boto3."""
    wait_until(lambda: client.get_cluster(identifier=identifier)["status"] == status, f"a cluster is {status}")


def refusal(code: str, call: Any, **members: Any) -> dict[str, Any]:
    """What the call, which has to fail with this code, answers."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer: dict[str, Any] = dict(caught.value.response)
    assert answer["Error"]["Code"] == code, answer
    # Most shapes have `message` beside the standard members; what AWS's front answers has those alone.
    assert answer.get("message", answer["Error"]["Message"]) == answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"] == answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-errortype"] == code
    return answer


def unique() -> str:
    return uuid.uuid4().hex

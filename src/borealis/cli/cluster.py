"""`borealis cluster`: clusters over the API, told in a few lines."""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from borealis.cli.api_client import ApiAddress, ApiClient, ApiRefused
from borealis.cli.local_api import find_local_api
from borealis.clusters.names import REGION_DEFAULT, ClusterArn, EndpointName, InvalidName, parse_identifier
from borealis.foundation.errors import Unavailable
from borealis.iam import IamStore

# How long a cluster may take to come or go, and the pause between two looks.
_WAIT_S: Final = 120.0
_LOOK_S: Final = 0.05

Fields = dict[str, Any]


def cluster(options: argparse.Namespace) -> int:
    client = make_client(options)
    try:
        answer, lines = PARTS[options.part](client, options)
    except ApiRefused as error:
        print(json.dumps(error.members) if options.json else f"borealis: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(answer, indent=2))
    else:
        for line in lines:
            print(line)
    return 0


def make_client(options: argparse.Namespace) -> ApiClient:
    if options.endpoint_url is None:
        address = find_local_api(options.data)
    else:
        address = ApiAddress(options.endpoint_url, options.region or REGION_DEFAULT, options.ca_bundle)
    folder = options.data / "control"
    if not folder.is_dir():
        raise Unavailable(f"{options.data} holds no access keys; start Borealis on it once (borealis up)")
    with IamStore.open(folder, secrets.token_bytes) as store:
        return ApiClient(address, store.administrator_key())


def identify(text: str) -> str:
    """The identifier in whatever a user has at hand."""
    try:
        if text.startswith("arn:"):
            return ClusterArn.parse(text).identifier
        return EndpointName.parse(text).identifier if "." in text else parse_identifier(text)
    except InvalidName as error:
        raise Unavailable(f"{text}: {error}") from error


# The parts: each gives the answer for programs, and the lines for people.

Outcome = tuple[Fields, list[str]]


def create(client: ApiClient, options: argparse.Namespace) -> Outcome:
    wanted = {**settings(options), "clientToken": options.client_token or secrets.token_hex(16)}
    if options.tag:
        wanted["tags"] = dict(options.tag)
    if options.policy is not None:
        wanted["policy"] = read_text(options.policy)
    answer = client.call("POST", ["cluster"], wanted)
    if not options.no_wait:
        answer = wait_active(client, answer["identifier"])
    return answer, [
        f"cluster   {answer['identifier']}",
        f"endpoint  {answer['endpoint']}",
        f"status    {answer['status']}",
    ]


def list_all(client: ApiClient, options: argparse.Namespace) -> Outcome:  # noqa: ARG001 - parts are called alike
    clusters = [get(client, summary["identifier"]) for summary in summaries(client)]
    lines = [f"{one['identifier']}  {one['status']:<8}  {one['tags'].get('Name', '')}".rstrip() for one in clusters]
    return {"clusters": clusters}, lines or ["there are no clusters; borealis cluster create makes one"]


def show(client: ApiClient, options: argparse.Namespace) -> Outcome:
    answer = get(client, identify(options.cluster))
    return answer, list(describe(answer))


def update(client: ApiClient, options: argparse.Namespace) -> Outcome:
    wanted = {**settings(options), "clientToken": secrets.token_hex(16)}
    answer = client.call("POST", ["cluster", identify(options.cluster)], wanted)
    return answer, [f"{answer['identifier']}  {answer['status']}"]


def delete(client: ApiClient, options: argparse.Namespace) -> Outcome:
    identifier = identify(options.cluster)
    answer = client.call("DELETE", ["cluster", identifier], query=[("client-token", secrets.token_hex(16))])
    if not options.no_wait:
        wait_gone(client, identifier)
    return answer, [f"{identifier}  {answer['status'] if options.no_wait else 'deleted'}"]


def tag(client: ApiClient, options: argparse.Namespace) -> Outcome:
    arn = get(client, identify(options.cluster))["arn"]
    client.call("POST", ["tags", arn], {"tags": dict(options.tags)})
    return show_tags(client, arn)


def untag(client: ApiClient, options: argparse.Namespace) -> Outcome:
    arn = get(client, identify(options.cluster))["arn"]
    client.call("DELETE", ["tags", arn], query=[("tagKeys", key) for key in options.keys])
    return show_tags(client, arn)


def policy(client: ApiClient, options: argparse.Namespace) -> Outcome:
    segments = ["cluster", identify(options.cluster), "policy"]
    if options.delete:
        expected = options.expected_version
        query = [] if expected is None else [("expected-policy-version", expected)]
        answer = client.call("DELETE", segments, query=query)
        return answer, [f"version {answer['policyVersion']} is gone"]
    if options.put is not None:
        wanted: Fields = {"policy": read_text(options.put)}
        if options.expected_version is not None:
            wanted["expectedPolicyVersion"] = options.expected_version
        if options.bypass_lockout_check:
            wanted["bypassPolicyLockoutSafetyCheck"] = True
        answer = client.call("POST", segments, wanted)
        return answer, [f"version {answer['policyVersion']}"]
    answer = client.call("GET", segments)
    return answer, [answer["policy"]]


PARTS: Final = {
    "create": create,
    "list": list_all,
    "show": show,
    "update": update,
    "delete": delete,
    "tag": tag,
    "untag": untag,
    "policy": policy,
}


# Below the parts


def settings(options: argparse.Namespace) -> Fields:
    wanted: Fields = {}
    if options.deletion_protection is not None:
        wanted["deletionProtectionEnabled"] = options.deletion_protection
    if options.kms_key is not None:
        wanted["kmsEncryptionKey"] = options.kms_key
    return wanted


def get(client: ApiClient, identifier: str) -> Fields:
    return client.call("GET", ["cluster", identifier])


def summaries(client: ApiClient) -> Iterator[Fields]:
    token: str | None = None
    while True:
        page = client.call("GET", ["cluster"], query=[] if token is None else [("next-token", token)])
        yield from page["clusters"]
        token = page.get("nextToken")
        if token is None:
            return


def show_tags(client: ApiClient, arn: str) -> Outcome:
    answer = client.call("GET", ["tags", arn])
    return answer, [f"{key}={value}" for key, value in sorted(answer["tags"].items())]


def describe(answer: Fields) -> Iterator[str]:
    encryption = answer["encryptionDetails"]
    created = datetime.fromtimestamp(answer["creationTime"], UTC)
    yield f"cluster     {answer['identifier']}"
    yield f"endpoint    {answer['endpoint']}"
    yield f"arn         {answer['arn']}"
    yield f"status      {answer['status']}"
    yield f"created     {created:%Y-%m-%d %H:%M:%S} UTC"
    yield f"protected   {'from deletion' if answer['deletionProtectionEnabled'] else 'no'}"
    yield f"key         {encryption.get('kmsKeyArn', encryption['encryptionType'])}"
    for key, value in sorted(answer["tags"].items()):
        yield f"tag         {key}={value}"


def wait_active(client: ApiClient, identifier: str) -> Fields:
    deadline = time.monotonic() + _WAIT_S
    while (answer := get(client, identifier))["status"] == "CREATING":
        if time.monotonic() > deadline:
            raise Unavailable(f"cluster {identifier} is still being created; borealis cluster show tells how it goes")
        time.sleep(_LOOK_S)
    if answer["status"] == "FAILED":
        raise Unavailable(f"cluster {identifier} could not be made; the log of the control service says why")
    return answer


def wait_gone(client: ApiClient, identifier: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        try:
            get(client, identifier)
        except ApiRefused as error:
            if error.code == "ResourceNotFoundException":
                return
            raise
        time.sleep(_LOOK_S)
    raise Unavailable(f"cluster {identifier} is still being deleted")


def read_text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error

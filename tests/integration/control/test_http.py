"""The API's socket in the hands of clients that mean no good, or cannot do better."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from tests.integration.control.clusters import unique
from tests.integration.control.conftest import MakeControl
from tests.integration.control.running_control import REGION, RunningControl

Answer = tuple[int, dict[str, str], dict[str, Any]]


@contextmanager
def connect(control: RunningControl) -> Iterator[socket.socket]:
    host, _, port = control.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def read_answer(connection: socket.socket) -> Answer:
    with closing(connection.makefile("rb")) as stream:
        return parse_answer(stream)


def parse_answer(stream: Any) -> Answer:
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.strip().lower()] = value.strip()
    return status, headers, json.loads(stream.read(int(headers["content-length"])))


def signed(control: RunningControl, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request that the administrator signed, whatever it asks for."""
    request = botocore.awsrequest.AWSRequest(method, control.url + target, headers=headers, data=body)
    credentials = botocore.credentials.Credentials(*control.key)
    botocore.auth.SigV4Auth(credentials, "dsql", REGION).add_auth(request)
    lines = [f"{method} {target} HTTP/1.1", f"host: {urlsplit(control.url).netloc}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def ask(control: RunningControl, method: str, target: str, body: bytes = b"") -> Answer:
    with connect(control) as connection:
        connection.sendall(signed(control, method, target, body))
        return read_answer(connection)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("PUT", "/cluster"),
        ("GET", "/clusters"),
        ("GET", f"/cluster/{'x' * 26}/policy/more"),
        ("POST", "/stream"),
        ("GET", "/tags/"),
        ("OPTIONS", "/cluster"),
    ],
)
def test_an_unknown_path_is_an_unknown_operation(shared: RunningControl, method: str, target: str) -> None:
    status, headers, body = ask(shared, method, target)
    assert (status, headers["x-amzn-errortype"], body["reason"]) == (400, "ValidationException", "unknownOperation")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"tags": NaN}',
        b"[" * 100_000,
        b'{"tags": ' * 20_000,
    ],
)
def test_a_body_that_is_no_json_object_cannot_be_parsed(shared: RunningControl, body: bytes) -> None:
    status, _, answer = ask(shared, "POST", "/cluster", body)
    assert (status, answer["reason"]) == (400, "cannotParse")


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"tags": []}, "tags"),
        ({"tags": {"a": {"b": "c"}}}, "tags.a"),
        ({"tags": {"\ud800": "x"}}, "tags.?"),
        ({"clientToken": 1}, "clientToken"),
        ({"clientToken": "\ud800"}, "clientToken"),
        ({"metricGroups": {"metricGroup": "STATEMENT_STATISTICS"}}, "metricGroups"),
        ({"metricGroups": [None]}, "metricGroups[0]"),
        ({"deletionProtectionEnabled": 1}, "deletionProtectionEnabled"),
        ({"multiRegionProperties": "x"}, "multiRegionProperties"),
    ],
)
def test_a_member_has_its_type(shared: RunningControl, members: dict[str, Any], field: str) -> None:
    status, _, answer = ask(shared, "POST", "/cluster", json.dumps(members).encode())
    assert (status, answer["reason"]) == (400, "fieldValidationFailed")
    assert field in [problem["name"] for problem in answer["fieldList"]]


def test_members_that_are_unknown_or_null_are_nothing(shared: RunningControl) -> None:
    body = json.dumps({"future": {"x": 1}, "tags": None, "policy": None}).encode()
    status, _, answer = ask(shared, "POST", "/cluster", body)
    assert (status, answer["status"]) == (200, "CREATING")


def test_a_parameter_of_the_query_occurs_once(shared: RunningControl) -> None:
    status, _, answer = ask(shared, "GET", "/cluster?max-results=1&max-results=2")
    assert (status, answer["fieldList"][0]["name"]) == (400, "maxResults")


def test_an_arn_may_be_escaped_or_not(shared: RunningControl) -> None:
    arn = shared.client().create_cluster(tags={"a": "b"})["arn"]
    for spelling in (arn, arn.replace(":", "%3A").replace("/", "%2F")):
        assert ask(shared, "GET", f"/tags/{spelling}")[2] == {"tags": {"a": "b"}}


def test_without_a_signature_nothing_is_learnt(shared: RunningControl) -> None:
    for target in ("/cluster", "/nowhere"):
        with connect(shared) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            status, headers, body = read_answer(connection)
        assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
        assert body == {"message": "Missing Authentication Token"}


def test_a_signed_request_that_is_changed_is_refused(shared: RunningControl) -> None:
    whole = signed(shared, "POST", "/cluster", b'{"tags": {"a": "b"}}')
    changes = [
        whole.replace(b'"b"}}', b'"c"}}'),
        whole.replace(b"POST /cluster", b"POST /cluster?x=y"),
        whole.replace(b"POST /cluster", b"PUT /cluster"),
        whole.replace(b"Signature=", b"Signature=0"),
    ]
    for changed in changes:
        assert changed != whole
        with connect(shared) as connection:
            connection.sendall(changed)
            status, headers, _ = read_answer(connection)
        assert (status, headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")


def test_requests_may_follow_each_other_and_arrive_in_pieces(shared: RunningControl) -> None:
    first = signed(shared, "GET", "/cluster?max-results=1")
    second = signed(shared, "POST", "/cluster", json.dumps({"clientToken": unique()}).encode())
    stream = first + second + first
    with connect(shared) as connection, closing(connection.makefile("rb")) as answers:
        for start in range(0, len(stream), 50):
            connection.sendall(stream[start : start + 50])
        assert [parse_answer(answers)[0] for _ in range(3)] == [200, 200, 200]


def test_a_client_that_asks_whether_to_go_on_is_told(shared: RunningControl) -> None:
    head, _, body = signed(shared, "POST", "/cluster", b"{}").partition(b"\r\n\r\n")
    with connect(shared) as connection, closing(connection.makefile("rb")) as answers:
        connection.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert answers.readline().startswith(b"HTTP/1.1 100")
        assert answers.readline() == b"\r\n"
        connection.sendall(body)
        assert parse_answer(answers)[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 100_000, 431),
        (b"POST /cluster HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n" + b"x" * 300_000, 413),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_not_http_or_too_much_is_answered_and_ended(shared: RunningControl, data: bytes, status: int) -> None:
    with connect(shared) as connection, closing(connection.makefile("rb")) as answers:
        connection.sendall(data)
        found, headers, body = parse_answer(answers)
        assert (found, body["reason"]) == (status, "cannotParse")
        assert headers["connection"] == "close"
        assert answers.read() == b""
    shared.client().list_clusters()


def test_garbage_harms_nobody(shared: RunningControl) -> None:
    for length in (1, 100, 10_000):
        for _ in range(20):
            with connect(shared) as connection:
                connection.sendall(os.urandom(length))
    shared.client().list_clusters()


def test_half_requests_are_given_up_and_hold_nobody_up(make_control: MakeControl) -> None:
    control = make_control("--request-seconds", "1")
    control.start()
    with connect(control) as silent, connect(control) as slow, connect(control) as lazy:
        slow.sendall(b"GET /cluster HTTP/1.1\r\nhost: x\r\n")
        lazy.sendall(b"POST /cluster HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        control.client().list_clusters()
        for connection in (silent, slow, lazy):
            assert connection.recv(1) == b""
    control.client().list_clusters()


def test_connections_are_bounded_and_the_idle_make_room(make_control: MakeControl) -> None:
    # No request ends because the machine is busy: that would make room, too.
    control = make_control("--connections-max", "10", "--request-seconds", "600")
    control.start()
    request = signed(control, "GET", "/cluster")
    with ExitStack() as stack:
        busy = [stack.enter_context(connect(control)) for _ in range(9)]
        for connection in busy:
            connection.sendall(request[:-1])
        idle = stack.enter_context(connect(control))
        idle.sendall(request)
        assert read_answer(idle)[0] == 200
        newest = stack.enter_context(connect(control))
        newest.sendall(request)
        assert read_answer(newest)[0] == 200
        assert is_ended(idle)
        newest.sendall(request[:-1])
        with connect(control) as refused:
            assert is_ended(refused)
        for connection in (*busy, newest):
            connection.sendall(request[-1:])
            assert read_answer(connection)[0] == 200


def is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_rate_is_bounded_for_each_account(make_control: MakeControl) -> None:
    control = make_control("--calls-per-second", "1", "--calls-burst", "5")
    control.start()
    answers = [ask(control, "GET", "/cluster") for _ in range(7)]
    assert [status for status, _, _ in answers[:5]] == [200] * 5
    refused = [answer for answer in answers if answer[0] == 429]
    assert refused
    for _, headers, body in refused:
        assert headers["x-amzn-errortype"] == "ThrottlingException"
        assert headers["retry-after"] == "1"
        assert body == {"message": "Rate exceeded.", "serviceCode": "dsql", "quotaCode": "calls-per-second"}
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    control.client(control.user(unique(), allow, account="111111111111")).list_clusters()


def test_every_request_is_in_the_audit_log_without_secrets(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    client = control.client()
    identifier = client.create_cluster(tags={"Name": "hidden"}, clientToken="sesame")["identifier"]
    request_id = client.get_cluster(identifier=identifier)["ResponseMetadata"]["RequestId"]
    with connect(control) as connection:
        connection.sendall(b'GET /cluster?secret=1 HTTP/1.1\r\nhost: x\r\nuser-agent: \xff"evil\r\n\r\n')
        read_answer(connection)
    created, found, refused = control.audit
    assert (created["action"], created["resource"]) == ("dsql:CreateCluster", identifier)
    assert (found["requestId"], found["resource"], found["outcome"]) == (request_id, identifier, "allowed")
    assert found["principal"] == "arn:aws:iam::000000000000:user/administrator"
    assert found["accessKey"] == control.key[0]
    assert found["source"].startswith("127.0.0.1:")
    assert (refused["outcome"], refused["status"]) == ("refused", "MissingAuthenticationTokenException")
    assert "principal" not in refused
    text = (control.data / "log/audit/control.jsonl").read_text()
    for secret in (control.key[1], "hidden", "sesame", "secret=1", "Signature="):
        assert secret not in text

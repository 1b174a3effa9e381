"""Clients that do not get in: what each of them is told, byte for byte where the bytes can be seen."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from borealis.clusters import ClusterStatus
from borealis.relay.startup_packet import PACKET_BYTES_MAX
from tests.integration.relay.world import RelayWorld, error_response, packet, read_to_end
from tests.integration.waiting import wait_until

ACCESS_DENIED = "unable to accept connection, access denied"
INJECTION = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."
TLS_REQUEST = bytes.fromhex("00000008 04d2162f")
GSS_REQUEST = bytes.fromhex("00000008 04d21630")
STARTUP = packet("user", "admin", "database", "postgres")
PASSWORD_REQUEST = b"R\0\0\0\x08\0\0\0\x03"


def password(text: str | bytes) -> bytes:
    body = (text.encode() if isinstance(text, str) else text) + b"\0"
    return b"p" + (len(body) + 4).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", error_response("08P01", "invalid length of startup packet")),
        (b"\0\0\0\x07", error_response("08P01", "invalid length of startup packet")),
        (struct.pack(">I", PACKET_BYTES_MAX + 1), error_response("08P01", "invalid length of startup packet")),
        (b"\0\0\0\x09\x04\xd2\x16\x2f\0", error_response("08P01", "invalid length of startup packet")),
        (
            TLS_REQUEST + b"\x16",
            error_response("08P01", "received unencrypted data after SSL request", detail=INJECTION),
        ),
        (
            GSS_REQUEST + TLS_REQUEST,
            error_response("08P01", "received unencrypted data after GSSAPI encryption request", detail=INJECTION),
        ),
        (
            STARTUP,
            error_response(
                "28000",
                "unable to accept connection, TLS is required",
                hint="Connect with sslmode=require, or better with sslmode=verify-full.",
            ),
        ),
        (
            packet("user", "admin", version=2 << 16),
            error_response("0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.0"),
        ),
        (
            packet("user", "admin")[:-1] + b"x",
            error_response("08P01", "invalid startup packet layout: expected terminator as last byte"),
        ),
        (
            bytes.fromhex("0000000c 04d2162e 00000000"),
            error_response("08P01", "invalid length of cancel request packet"),
        ),
    ],
)
def test_what_is_wrong_in_plaintext_is_answered_in_plaintext(world: RelayWorld, sent: bytes, answer: bytes) -> None:
    with world.raw() as client:
        client.sendall(sent)
        assert read_to_end(client) == answer


def test_gss_encryption_is_refused_once(world: RelayWorld) -> None:
    with world.raw() as client:
        client.sendall(GSS_REQUEST)
        assert client.recv(10) == b"N"
        client.sendall(GSS_REQUEST)
        expected = error_response("0A000", "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.0")
        assert read_to_end(client) == expected
    with world.raw() as client:
        client.sendall(GSS_REQUEST)
        assert client.recv(10) == b"N"
        client.sendall(TLS_REQUEST)
        assert client.recv(10) == b"S"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (
            TLS_REQUEST,
            error_response("0A000", "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.0"),
        ),
        (
            packet("database", "postgres"),
            error_response("28000", "no PostgreSQL user name specified in startup packet"),
        ),
        (
            packet("user", "admin", "replication", "database"),
            error_response("0A000", "replication connections are not supported"),
        ),
        (
            packet("user", "adm*n").replace(b"*", b"\xff"),
            error_response("22021", 'invalid byte sequence for encoding "UTF8" in startup packet'),
        ),
        (STARTUP + b"Q\0\0\0\x05\0", PASSWORD_REQUEST + error_response("08P01", "expected password response")),
        (STARTUP + b"p\0\0\0\x04", PASSWORD_REQUEST + error_response("08P01", "invalid password packet size")),
        (
            STARTUP + b"p" + (2**14 + 5).to_bytes(4, "big"),
            PASSWORD_REQUEST + error_response("08P01", "invalid password packet size"),
        ),
        (STARTUP + password(b"a\0b"), PASSWORD_REQUEST + error_response("08P01", "invalid password packet size")),
        (STARTUP + password(""), PASSWORD_REQUEST + error_response("28P01", "empty password returned by client")),
        (
            STARTUP + password("secret"),
            PASSWORD_REQUEST
            + error_response(
                "08006",
                ACCESS_DENIED,
                hint="The authentication token is malformed: "
                "it must be <host>/?Action=… as the AWS SDKs and the AWS CLI make it",
            ),
        ),
    ],
)
def test_what_is_wrong_inside_tls_is_answered_inside_tls(
    world: RelayWorld, version: ssl.TLSVersion, sent: bytes, answer: bytes
) -> None:
    with world.tls(version=version) as client:
        client.sendall(sent)
        assert read_to_end(client) == answer  # with a clean end: close_notify


def test_without_a_server_name_there_is_no_cluster(world: RelayWorld) -> None:
    with world.tls("") as client:
        client.sendall(STARTUP)
        assert read_to_end(client) == error_response("08006", "unable to accept connection, sni was not received")
    assert world.audit()[-1]["message"] == "unable to accept connection, sni was not received"


@pytest.mark.parametrize(
    "server_name",
    ["localhost", "x" * 26 + ".dsql.us-east-1.localhost", "{id}.dsql.eu-west-1.localhost", "{id}.example.org"],
)
def test_a_name_without_a_cluster_is_refused(world: RelayWorld, server_name: str) -> None:
    with world.tls(server_name.format(id=world.cluster.identifier)) as client:
        client.sendall(STARTUP)
        assert read_to_end(client) == error_response(
            "08006", ACCESS_DENIED, hint="There is no cluster of this name here."
        )


def test_server_name_and_option_must_not_differ(world: RelayWorld) -> None:
    with world.tls() as client:
        client.sendall(packet("user", "admin", "options", f"--amzn-cluster-id={world.clusters[1].identifier}"))
        assert read_to_end(client) == error_response(
            "08006", ACCESS_DENIED, hint="The server name and the option amzn-cluster-id name different clusters."
        )


def test_clusters_that_failed_or_are_no_more(world: RelayWorld) -> None:
    failed = world.add_cluster(status=ClusterStatus.FAILED)
    deleting = world.add_cluster(status=ClusterStatus.DELETING)
    assert "server unavailable" in str(world.refusal(failed))
    assert "The cluster is FAILED." in str(world.refusal(failed))
    assert "There is no cluster of this name here." in str(world.refusal(deleting))


def test_a_cluster_that_the_host_does_not_know_is_unknown(world: RelayWorld) -> None:
    assert "There is no cluster of this name here." in str(world.refusal(world.add_cluster()))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"region": "eu-west-1"}, "Credential should be scoped to a valid region"),
        ({"key": ("AKIA" + "A" * 16, "secret")}, "The security token included in the request is invalid."),
        ({"user": "alice"}, "Wrong user to action mapping. user: admin, action: DbConnect"),
    ],
)
def test_a_token_that_is_not_good_is_refused_with_the_reason(
    world: RelayWorld, change: dict[str, object], hint: str
) -> None:
    refused_with(hint, world.refusal(password=world.token(**change)))  # type: ignore[arg-type]


def test_tokens_are_for_one_user_one_cluster_and_a_time(world: RelayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = world.token()
    refused_with(
        "Wrong user to action mapping. user: alice, action: DbConnectAdmin", world.refusal(user="alice", password=admin)
    )
    refused_with("Token was made for host", world.refusal(world.clusters[1], password=admin))
    refused_with(
        "The request signature we calculated does not match",
        world.refusal(password=admin[:-1] + ("0" if admin[-1] != "0" else "1")),
    )
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: an_hour_ago)
    refused_with("Signature expired: ", world.refusal(password=world.token()))


def refused_with(hint: str, error: psycopg.OperationalError) -> None:
    assert f"FATAL:  {ACCESS_DENIED}" in str(error)
    assert f"HINT:  {hint}" in str(error)


def test_the_resource_policy_counts(world: RelayWorld) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "dsql:*",
        "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "StringEquals": {"aws:ResourceTag/Team": "blue"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with world.cluster_store.transaction():
        world.cluster_store.set_policy(world.clusters[1].identifier, document, 1)
    refused_with("User: arn:aws:iam::", world.refusal(world.clusters[1]))
    with world.cluster_store.transaction():
        world.cluster_store.put_tags(world.clusters[1].identifier, {"Team": "red"})
    world.connect(world.clusters[1]).close()


def test_there_is_one_database(world: RelayWorld) -> None:
    assert 'database "admin" does not exist' in str(world.refusal(dbname=""))
    assert 'database "other" does not exist' in str(world.refusal(dbname="other"))


def test_what_a_front_refuses_the_client_hears(world: RelayWorld) -> None:
    world.front.tell("refuse 28000 role is not mapped")
    world.front.wait_for("sessions")
    assert "FATAL:  role is not mapped" in str(world.refusal(user="alice"))


def test_a_front_that_is_ending_is_asked_again_elsewhere(world: RelayWorld) -> None:
    world.front.tell("refuse 57P03 the database system is shutting down")
    world.front.wait_for("sessions")
    world.connect().close()
    assert world.front.wait_for("woken") == f"woken {world.cluster.identifier}"


def test_a_cluster_that_nobody_can_serve_is_unavailable(world: RelayWorld) -> None:
    for _ in range(3):
        world.front.tell("refuse 57P03 the database system is shutting down")
        world.front.wait_for("sessions")
    assert "the database system is shutting down" in str(world.refusal())
    world.connect().close()


def test_a_session_that_a_front_may_have_is_offered_to_nobody_else(world: RelayWorld) -> None:
    """The front died with the keys in its hands: to go on with them, even to say so, could use a nonce twice."""
    world.front.tell("vanish")
    world.front.wait_for("sessions")
    with pytest.raises(psycopg.OperationalError, match=r"unexpected eof|closed the connection unexpectedly"):
        world.connect()
    last = world.audit()[-1]
    assert (last["outcome"], last["status"]) == ("failed", "XX000")
    world.connect().close()


def test_a_host_that_was_killed_is_missed_and_found_again(world: RelayWorld) -> None:
    world.connect().close()
    world.front.stop(signal.SIGKILL)
    assert "FATAL:  server unavailable" in str(world.refusal())
    for name in ("host.sock", "front.sock"):
        (world.data / "run" / name).unlink()
    world.front = world.start_front()
    with world.connect() as connection:
        assert connection.info.server_version == 160014


def test_a_client_that_speaks_no_tls_hears_an_alert(world: RelayWorld) -> None:
    with world.raw() as client:
        client.sendall(TLS_REQUEST)
        assert client.recv(1) == b"S"
        client.sendall(b"\x16\x03\x01\0\x05hello")
        assert read_to_end(client)[:1] == b"\x15"
    with world.raw() as client:
        client.sendall(TLS_REQUEST)
        assert client.recv(1) == b"S"
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_to_end(client) == b""  # OpenSSL has nothing to say to that, and closes


def test_direct_tls_needs_our_protocol(world: RelayWorld) -> None:
    context = ssl.create_default_context(cafile=world.authority.certificate)
    with world.raw() as client, pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        context.wrap_socket(client, server_hostname=str(world.cluster.endpoint))


def test_clients_that_leave_halfway_leave_nothing(world: RelayWorld) -> None:
    world.connect().close()
    before = world.descriptors()
    for sent in (b"", b"\0\0", TLS_REQUEST, GSS_REQUEST):
        for reset in (False, True):
            client = world.raw()
            client.sendall(sent)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    with world.tls() as client, suppress(OSError):
        client.sendall(STARTUP)
        client.unwrap()
    wait_until(lambda: world.descriptors() <= before + 1, "the relay has closed what clients left")  # + a new link


def test_clients_without_tls_get_an_answer_that_they_understand(world: RelayWorld) -> None:
    with pytest.raises(psycopg.OperationalError, match="TLS is required"):
        world.connect(sslmode="disable")
    with world.connect(sslmode="allow", sslrootcert="") as connection:
        assert connection.pgconn.ssl_in_use

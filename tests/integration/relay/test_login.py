"""Clients that get in, and what the front is told about them."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from borealis.iam.names import EntityKind
from tests.integration.relay.world import ACCOUNT, RelayWorld, packet, read_to_end, told


def test_psql_connects_with_a_token(world: RelayWorld) -> None:
    conninfo = world.conninfo(sslmode="verify-full", application_name="psql test")
    done = subprocess.run(
        ["psql", "-XAt", "-c", "SELECT 1", " ".join(f"{name}='{value}'" for name, value in conninfo.items())],
        env=os.environ | {"PGPASSWORD": world.token()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["cluster"] == world.cluster.identifier
    assert answer["server_name"] == str(world.cluster.endpoint)
    assert (answer["user"], answer["database"], answer["action"]) == ("admin", "postgres", "DB_CONNECT_ADMIN")
    assert answer["principal"] == f"arn:aws:iam::{ACCOUNT}:user/administrator"
    assert answer["parameters"]["application_name"] == "psql test"
    assert answer["address"] == "127.0.0.1"
    assert (answer["is_direct_tls"], answer["tls"]) == (False, "TLSv1.3")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_psycopg_connects_by_either_negotiation(world: RelayWorld, negotiation: str, version: str) -> None:
    versions = {"ssl_min_protocol_version": version, "ssl_max_protocol_version": version}
    with world.connect(sslnegotiation=negotiation, **versions) as connection:
        answer = told(connection)
        assert answer["is_direct_tls"] == (negotiation == "direct")
        assert answer["has_alpn"]  # libpq 17 offers it either way
        assert answer["tls"] == version
        assert told(connection)["cluster"] == world.cluster.identifier


@pytest.mark.parametrize("name", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_older_ciphers_move_too(world: RelayWorld, name: str) -> None:
    context = ssl.create_default_context(cafile=world.authority.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(name)
    connection = world.raw()
    connection.sendall(bytes.fromhex("00000008 04d2162f"))
    assert connection.recv(1) == b"S"
    with context.wrap_socket(connection, server_hostname=str(world.cluster.endpoint)) as client:
        log_in(world, client)


def log_in(world: RelayWorld, client: ssl.SSLSocket, password: str | None = None, *texts: str) -> None:
    client.sendall(packet("user", "admin", "database", "postgres", *texts))
    assert client.recv(100) == b"R\0\0\0\x08\0\0\0\x03"
    token = (password or world.token()).encode() + b"\0"
    client.sendall(b"p" + (len(token) + 4).to_bytes(4, "big") + token)
    assert client.recv(9) == b"R\0\0\0\x08\0\0\0\0"


def test_a_client_that_sends_everything_at_once_loses_nothing(world: RelayWorld) -> None:
    """Startup packet, password and a query in one record; the query is the front's."""
    with world.tls() as client:
        token = world.token().encode() + b"\0"
        client.sendall(
            packet("user", "admin", "database", "postgres")
            + (b"p" + (len(token) + 4).to_bytes(4, "big") + token)
            + b"Q\0\0\0\x0dSELECT 1\0"
            + b"X\0\0\0\x04"
        )
        answer = read_to_end(client)
    assert answer.startswith(b"R\0\0\0\x08\0\0\0\x03R\0\0\0\x08\0\0\0\0")
    assert answer.endswith(b"SELECT 1\0Z\0\0\0\x05I")


def test_a_client_that_sends_byte_by_byte_gets_in(world: RelayWorld) -> None:
    with world.tls() as client:
        token = world.token().encode() + b"\0"
        password = b"p" + (len(token) + 4).to_bytes(4, "big") + token
        for byte in packet("user", "admin", "database", "postgres") + password:
            client.sendall(bytes([byte]))
        client.sendall(b"X\0\0\0\x04")
        assert b"R\0\0\0\x08\0\0\0\0" in read_to_end(client)


def test_a_client_without_a_server_name_names_its_cluster_in_an_option(world: RelayWorld) -> None:
    for option in ("-c amzn-cluster-id={}", "--amzn-cluster-id={}", "-c work_mem=1MB -c amzn-cluster-id={}"):
        options = option.format(world.clusters[1].identifier)
        token = world.token(world.clusters[1])
        with world.connect(world.clusters[1], sslsni=0, options=options, password=token) as connection:
            answer = told(connection)
        assert answer["cluster"] == world.clusters[1].identifier
        assert answer["server_name"] == ""
        assert "amzn" not in json.dumps(answer["parameters"])
    assert answer["parameters"]["options"] == "-c work_mem=1MB"  # type: ignore[index]


def test_a_name_that_is_no_endpoint_leaves_it_to_the_option(world: RelayWorld) -> None:
    options = f"-c amzn-cluster-id={world.cluster.identifier}"
    with world.connect(host="localhost", sslmode="require", sslrootcert="", options=options) as connection:
        assert told(connection)["cluster"] == world.cluster.identifier


def test_names_of_servers_know_no_case(world: RelayWorld) -> None:
    with world.connect(host=str(world.cluster.endpoint).upper()) as connection:
        assert told(connection)["cluster"] == world.cluster.identifier


def test_other_users_connect_with_the_other_action(world: RelayWorld) -> None:
    with world.connect(user="alice") as connection:
        assert told(connection)["action"] == "DB_CONNECT"
        assert told(connection)["user"] == "alice"


def test_a_session_has_an_end(world: RelayWorld) -> None:
    with world.connect() as connection:
        remaining_s = int(str(told(connection)["deadline"])) / 1e9 - time.time()
    assert 56 * 60 < remaining_s <= 60 * 60


def test_a_sleeping_cluster_is_woken_and_the_client_waits(world: RelayWorld) -> None:
    world.front.tell("sleep")
    world.front.wait_for("sessions")
    with world.connect(world.clusters[1]) as connection:
        assert told(connection)["cluster"] == world.clusters[1].identifier
    assert world.front.wait_for("woken") == f"woken {world.clusters[1].identifier}"


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_a_cancel_request_reaches_the_session(world: RelayWorld, negotiation: str) -> None:
    """Of an older libpq, in plaintext, and of a newer one, encrypted."""
    with world.connect(sslnegotiation=negotiation) as connection:
        connection.cancel()
        world.front.wait_for("canceled")
        connection.cancel_safe(timeout=30)
        world.front.wait_for("canceled")
        assert told(connection)["canceled"] == 2


def test_a_cancel_request_to_nobody_is_dropped(world: RelayWorld) -> None:
    for process_id in (0, 1, 0xFFFFFFFF):
        with world.raw() as client:
            client.sendall(bytes.fromhex("00000010 04d2162e") + process_id.to_bytes(4, "big") + b"abcd")
            assert read_to_end(client) == b""


def test_a_new_certificate_is_read_on_demand(world: RelayWorld) -> None:
    with world.tls() as before:
        renew_twice(world, before)


def renew_twice(world: RelayWorld, before: ssl.SSLSocket) -> None:
    certificate = world.authority.issue("*.dsql.us-east-1.localhost")
    world.install_certificate(certificate)
    world.relay.process.send_signal(1)
    expected = x509.load_pem_x509_certificate(certificate.chain.read_bytes()).public_bytes(Encoding.DER)
    while True:  # until the signal has arrived
        with world.tls() as client:
            if client.getpeercert(binary_form=True) == expected:
                break
    (world.data / "certificates" / "server.pem").write_text("nonsense")
    world.relay.process.send_signal(1)
    log_in(world, before)
    with world.tls() as client:
        assert client.getpeercert(binary_form=True) == expected
    world.install_certificate(certificate)


def test_changes_of_iam_count_for_the_next_connection(world: RelayWorld) -> None:
    user = world.iam.entities.create_user(ACCOUNT, "carol", world.cluster.creation_time)
    key = world.iam.access_keys.create(user, world.cluster.creation_time)
    token = world.token(key=(key.id, key.secret.reveal()))
    assert "is not authorized to perform: dsql:DbConnectAdmin" in str(world.refusal(password=token))
    policy = {"Effect": "Allow", "Action": "dsql:DbConnectAdmin", "Resource": str(world.cluster.arn)}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    world.iam.policies.put_inline(user, "connect", document)
    with world.connect(password=token) as connection:
        assert told(connection)["principal"] == user.arn
    world.iam.access_keys.set_active(key.id, False)
    assert "security token included in the request is invalid" in str(world.refusal(password=token))
    assert world.iam.entities.get(ACCOUNT, EntityKind.USER, "carol").arn == user.arn


def test_every_attempt_is_in_the_audit_log(world: RelayWorld) -> None:
    with world.connect(application_name="the\nauditor") as connection:
        told(connection)
    world.refusal(password="x" * 5000)
    allowed, refused = world.audit()[-2:]
    assert allowed["outcome"] == "allowed"
    assert allowed["principal"] == f"arn:aws:iam::{ACCOUNT}:user/administrator"
    assert allowed["action"] == "dsql:DbConnectAdmin"
    assert allowed["resource"] == str(world.cluster.arn)
    assert (allowed["databaseUser"], allowed["agent"], allowed["status"]) == ("admin", "the\nauditor", "00000")
    assert (refused["outcome"], refused["status"]) == ("refused", "08006")
    assert "xxx" not in json.dumps(refused)
    assert "X-Amz-Signature" not in (world.data / "log" / "audit" / "relay.jsonl").read_text()


def test_psycopg_says_what_its_server_is(world: RelayWorld) -> None:
    with world.connect() as connection:
        assert isinstance(connection, psycopg.Connection)
        assert connection.info.server_version == 160014

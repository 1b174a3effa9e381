"""`borealis cluster` and the AWS CLI, as processes, against a service that speaks TLS, as an installation does."""

import datetime
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.control.running_control import REGION, RunningControl

CONNECTIONS_MAX = 10
AWS = Path(sys.executable).parent / "aws"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "server.pem", folder / "server.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningControl, Path]]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("certificates"))
    options = ("--clusters-max", "100", "--connections-max", str(CONNECTIONS_MAX))
    control = RunningControl("--certificate", str(certificate), "--key", str(key), *options)
    try:
        control.start()
        yield control, certificate
    finally:
        control.close()


class Commands:
    def __init__(self, secured: tuple[RunningControl, Path]) -> None:
        self.control, self.certificate = secured

    def borealis(self, *arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "borealis.cli", "cluster", arguments[0], "--data", str(self.control.data)]
        return self._run([*command, *arguments[1:]], dict(os.environ), status)

    def aws(self, *arguments: str, status: int = 0) -> str:
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_DSQL": f"https://{self.control.address}",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.control.key[0],
            "AWS_SECRET_ACCESS_KEY": self.control.key[1],
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_PAGER": "",
        }
        return self._run([str(AWS), "dsql", *arguments], environment, status)

    def _run(self, command: list[str], environment: dict[str, str], status: int) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, (command, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr


@pytest.fixture
def commands(secured: tuple[RunningControl, Path]) -> Commands:
    return Commands(secured)


def test_a_cluster_from_its_creation_to_its_end(commands: Commands, tmp_path: Path) -> None:
    told = commands.borealis("create", "--tag", "Name=first", "--no-deletion-protection").splitlines()
    identifier = told[0].split()[1]
    endpoint = f"{identifier}.dsql.us-east-1.localhost"
    assert told == [f"cluster   {identifier}", f"endpoint  {endpoint}", "status    ACTIVE"]
    assert f"{identifier}  ACTIVE    first" in commands.borealis("list").splitlines()
    assert commands.borealis("tag", endpoint, "team=blue", "empty=") == "Name=first\nempty=\nteam=blue\n"
    assert commands.borealis("untag", identifier, "empty", "Name") == "team=blue\n"
    shown = commands.borealis("show", f"arn:aws:dsql:us-east-1:000000000000:cluster/{identifier}")
    assert "protected   no" in shown
    assert "tag         team=blue" in shown
    commands.borealis("update", identifier, "--deletion-protection", "--kms-key", "alias/mine")
    found = json.loads(commands.borealis("show", identifier, "--json"))
    assert found["deletionProtectionEnabled"] is True
    assert found["encryptionDetails"]["kmsKeyArn"].endswith("alias/mine")
    assert "(ValidationException)" in commands.borealis("delete", identifier, status=1)
    refused = json.loads(commands.borealis("delete", identifier, "--json", status=1))
    assert refused["reason"] == "deletionProtectionEnabled"
    policy = tmp_path / "policy.json"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "dsql:*", "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert commands.borealis("policy", identifier, "--put", str(policy)) == "version 1\n"
    assert commands.borealis("policy", identifier) == policy.read_text() + "\n"
    assert "(ConflictException)" in commands.borealis(
        "policy", identifier, "--delete", "--expected-version", "2", status=1
    )
    assert commands.borealis("policy", identifier, "--delete") == "version 1 is gone\n"
    commands.borealis("update", identifier, "--no-deletion-protection")
    assert commands.borealis("delete", identifier) == f"{identifier}  deleted\n"
    assert "(ResourceNotFoundException)" in commands.borealis("show", identifier, status=1)


def test_a_repeated_command_makes_one_cluster(commands: Commands) -> None:
    twice = {commands.borealis("create", "--client-token", "same") for _ in range(2)}
    assert len(twice) == 1


def test_every_cluster_is_listed_for_programs(commands: Commands) -> None:
    made = json.loads(commands.borealis("create", "--json", "--no-wait"))
    listed = json.loads(commands.borealis("list", "--json"))["clusters"]
    assert made["identifier"] in [cluster["identifier"] for cluster in listed]


@pytest.mark.parametrize("name", ["x", "arn:aws:s3:::x", "localhost.localdomain"])
def test_what_names_no_cluster_is_said_so(commands: Commands, name: str) -> None:
    assert commands.borealis("show", name, status=1).startswith(f"borealis: {name}: ")


def test_another_endpoint_may_be_named(commands: Commands) -> None:
    url = f"https://{commands.control.address}"
    commands.borealis("list", "--endpoint-url", url, "--ca-bundle", str(commands.certificate))
    assert "certificate" in commands.borealis("list", "--endpoint-url", url, status=1)
    assert "does not answer" in commands.borealis("list", "--endpoint-url", "http://127.0.0.1:1", status=1)


def test_half_handshakes_make_room(commands: Commands) -> None:
    host, _, port = commands.control.address.rpartition(":")
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(CONNECTIONS_MAX + 5)]
        silent[-1].sendall(b"\x16\x03\x01\x00")
        commands.borealis("list")
        assert silent[0].recv(1) == b""


def test_the_aws_command_line_works(commands: Commands) -> None:
    created = json.loads(commands.aws("create-cluster", "--no-deletion-protection-enabled", "--tags", "Name=aws"))
    identifier = created["identifier"]
    commands.aws("wait", "cluster-active", "--identifier", identifier)
    found = json.loads(commands.aws("get-cluster", "--identifier", identifier))
    assert (found["status"], found["tags"]) == ("ACTIVE", {"Name": "aws"})
    listed = json.loads(commands.aws("list-clusters", "--page-size", "1"))["clusters"]
    assert identifier in [cluster["identifier"] for cluster in listed]
    told = commands.aws("get-cluster", "--identifier", "x" * 26, status=255)
    assert "(ResourceNotFoundException) when calling the GetCluster operation" in told
    commands.aws("delete-cluster", "--identifier", identifier)
    commands.aws("wait", "cluster-not-exists", "--identifier", identifier)

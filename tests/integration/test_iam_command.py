"""`borealis iam` as an operator uses it, and what comes of it for whoever signs with the keys that it made."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import pytest

from borealis.foundation.identifiers import Timestamp
from borealis.iam import IamReader, IamStore, Refused, authorize, verify_token
from borealis.iam.context import RequestContext
from tests.unit.iam.callers import allow, document
from tests.unit.iam.installation import ACCOUNT, CLUSTER, HOST, REGION

NOBODY = 65534
CONNECT = "dsql:DbConnect"


class Operator:
    """Runs commands on one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "borealis.cli", "iam", *arguments, "--data", str(self.data)]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)

    def do(self, *arguments: str, given: str = "") -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *arguments: str, given: str = "") -> Any:
        return json.loads(self.do(*arguments, "--json", given=given))

    def refusal(self, *arguments: str, given: str = "") -> str:
        done = self.run(*arguments, given=given)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr


@pytest.fixture
def operator() -> Iterator[Operator]:
    # Not pytest's own folder: only its owner can enter that, and the data's owner is not root.
    with TemporaryDirectory(prefix="borealis-test-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        data = root / "data"
        data.mkdir()
        (data / "VERSION").write_text("borealis data 1\n")
        with IamStore.open(data / "control", os.urandom) as store:
            store.install(ACCOUNT, Timestamp(time.time_ns()))
        if os.geteuid() == 0:
            for path in (data, *data.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield Operator(data)
        owners = {path.stat().st_uid for path in (data / "control").iterdir()}
        assert owners == {data.stat().st_uid}, "a command left a file that the account of the data cannot open"


def make_token(key: dict[str, str]) -> str:
    """As a program does that has the key; with the clock of this machine."""
    client = boto3.client(
        "dsql",
        region_name=REGION,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        aws_session_token=key.get("session_token"),
    )
    token: str = client.generate_db_connect_auth_token(HOST)
    return token


def login(reader: IamReader, token: str) -> str:
    now = Timestamp(time.time_ns())
    try:
        caller = verify_token(reader, token, HOST, REGION, now)
        authorize(caller, CONNECT, CLUSTER, RequestContext(now, REGION))
    except Refused as refused:
        return refused.cause.value
    return caller.arn


def test_a_user_from_first_to_last(operator: Operator) -> None:
    made = operator.ask("user", "create", "ann", "--tag", "team=red")
    assert made["arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
    key = operator.ask("access-key", "create", "--user", "ann")
    token = make_token(key)
    with IamReader.open(operator.data / "control") as reader:
        assert login(reader, token) == "not-authorized"
        operator.do("policy", "create", "Connect", "-", given=document(allow(CONNECT)))
        operator.do("user", "attach", "ann", "Connect")
        assert login(reader, token) == made["arn"]
        assert operator.do("simulate", "--user", "ann", CONNECT, CLUSTER) == "allowed\n"
        assert "denied because no identity-based policy allows the dsql:DbConnectAdmin action" in operator.do(
            "simulate", "--user", "ann", "dsql:DbConnectAdmin", CLUSTER
        )
        operator.do("access-key", "deactivate", key["access_key_id"])
        assert login(reader, token) == "unknown-credential"
        operator.do("access-key", "activate", key["access_key_id"])
        assert login(reader, token) == made["arn"]
        shown = operator.ask("user", "show", "ann")
        assert shown["tags"] == {"team": "red"}
        assert shown["attached_policies"] == [f"arn:aws:iam::{ACCOUNT}:policy/Connect"]
        assert operator.ask("access-key", "show", key["access_key_id"]) == key
        operator.do("user", "delete", "ann")
        assert login(reader, token) == "unknown-credential"


def test_a_role_and_its_temporary_credentials(operator: Operator) -> None:
    role = operator.ask("role", "create", "worker")
    operator.do("role", "put-policy", "worker", "connect", "-", given=document(allow(CONNECT)))
    key = operator.ask("assume-role", "worker", "--session", "night")
    with IamReader.open(operator.data / "control") as reader:
        token = make_token(key)
        assert login(reader, token) == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/night" == key["arn"]
        operator.do("user", "create", "bob")
        assert "is not authorized to perform: sts:AssumeRole" in operator.refusal(
            "assume-role", "worker", "--as-user", "bob"
        )
        operator.do("role", "set-trust", "worker", "--trust", f"arn:aws:iam::{ACCOUNT}:user/bob")
        exports = operator.do("assume-role", "worker", "--as-user", "bob", "--export")
        assert [line.partition("=")[0] for line in exports.splitlines()] == [
            "export AWS_ACCESS_KEY_ID",
            "export AWS_SECRET_ACCESS_KEY",
            "export AWS_SESSION_TOKEN",
        ]
        assert role["arn"] in operator.do("role", "list")
        operator.do("role", "delete", "worker")
        assert login(reader, token) == "unknown-credential"


def test_groups_boundaries_and_accounts(operator: Operator) -> None:
    operator.do("user", "create", "ann")
    operator.do("group", "create", "staff")
    operator.do("group", "attach", "staff", "AmazonAuroraDSQLFullAccess")
    operator.do("group", "add-user", "staff", "ann")
    assert operator.ask("group", "show", "staff")["members"] == ["ann"]
    assert operator.do("simulate", "--user", "ann", CONNECT, CLUSTER) == "allowed\n"
    operator.do("user", "set-boundary", "ann", "AmazonAuroraDSQLReadOnlyAccess")
    assert "no permissions boundary allows" in operator.do("simulate", "--user", "ann", CONNECT, CLUSTER)
    operator.do("user", "remove-boundary", "ann")
    operator.do("group", "remove-user", "staff", "ann")
    assert operator.ask("simulate", "--user", "ann", CONNECT, CLUSTER)["decision"] == "denied"
    operator.do("account", "create", "210987654321")
    operator.do("user", "create", "ann", "--account", "210987654321")
    assert operator.ask("account", "list") == [ACCOUNT, "210987654321"]
    assert len(operator.ask("access-key", "list")) == 1
    root = operator.ask("access-key", "create", "--root", "--account", "210987654321")
    assert root["arn"] == "arn:aws:iam::210987654321:root"


def test_errors_say_what_to_do(operator: Operator) -> None:
    assert "no user nobody in account" in operator.refusal("user", "show", "nobody")
    assert "borealis iam policy list shows them" in operator.refusal("user", "attach", "administrator", "Nothing")
    assert "characters" in operator.refusal("user", "create", "no good")
    assert "Statement 1: Effect: must be Allow or Deny" in operator.refusal(
        "policy", "create", "Broken", "-", given='{"Version": "2012-10-17", "Statement": {"Effect": "allow"}}'
    )
    assert "/nowhere cannot be read" in operator.refusal("policy", "create", "Broken", "/nowhere")
    assert operator.do("policy", "check", "-", given=document(allow())) == "a policy, with 1 statements\n"
    assert "is not a Borealis data directory" in Operator(operator.data / "none").refusal("user", "list")
    (operator.data / "control").rename(operator.data / "moved")
    assert "start Borealis once with borealis up" in operator.refusal("user", "list")
    (operator.data / "moved").rename(operator.data / "control")

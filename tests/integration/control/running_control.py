"""The control service as a process, with a host beside it, in a folder of its own."""

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from borealis.foundation.identifiers import Timestamp
from borealis.iam import IamReader, IamStore
from borealis.iam.assume_role import assume_role
from borealis.iam.context import RequestContext
from borealis.iam.records import TemporaryCredentials

START_S = 30.0
STOP_S = 30.0
ACCOUNT = "000000000000"
REGION = "us-east-1"
# Every failure is the test's business: nothing is tried twice behind its back.
CLIENT = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30, parameter_validation=False)


class RunningProcess:
    """A process that says `ready` on its standard output when it serves."""

    def __init__(self, *command: str) -> None:
        self._command = [sys.executable, "-m", *command]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """What it said after `ready`."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        is_told, _, _ = select.select([self._process.stdout], [], [], START_S)
        line = self._process.stdout.readline() if is_told else ""
        assert line.startswith("ready"), f"{self._command} did not start"
        return line.removeprefix("ready").strip()

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(STOP_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


class RunningControl:
    def __init__(self, *options: str) -> None:
        # A short path: sockets have little room for theirs.
        self.folder = Path(tempfile.mkdtemp(prefix="borealis-control-"))
        self.data = self.folder / "data"
        (self.data / "run").mkdir(parents=True)
        self.peer = self.folder / "peer"
        self.peer.mkdir()
        socket = self.data / "run" / "host.sock"
        self.host = RunningProcess("tests.integration.control.host_peer", str(socket), str(self.peer))
        self.control = RunningProcess("borealis.control", "--data", str(self.data), "--port", "0", *options)
        self.address = ""
        with IamStore.open(self.data / "control", secrets.token_bytes) as store:
            store.install(ACCOUNT, now())
            self._administrator = store.administrator_key()

    def start(self) -> None:
        self.host.start()
        self.start_control()

    def start_control(self) -> None:
        self.address = self.control.start()

    def close(self) -> None:
        self.control.close()
        self.host.close()
        if not os.environ.get("BOREALIS_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # Clients

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def key(self) -> tuple[str, str]:
        """Of the built-in administrator: identifier and secret."""
        return self._administrator.id, self._administrator.secret.reveal()

    def client(self, key: tuple[str, str] | None = None, **more: Any) -> Any:
        access_key, secret = key or self.key
        return boto3.client(
            "dsql",
            **{
                "region_name": REGION,
                "endpoint_url": self.url,
                "aws_access_key_id": access_key,
                "aws_secret_access_key": secret,
                "config": CLIENT,
                **more,
            },
        )

    def user(self, name: str, *statements: dict[str, Any], account: str = ACCOUNT) -> tuple[str, str]:
        """The key of a new user with these permissions."""
        with IamStore.open(self.data / "control", secrets.token_bytes) as store:
            return make_user(store, name, statements, account)

    def role_session(self, name: str, *statements: dict[str, Any]) -> TemporaryCredentials:
        """Temporary credentials of a new role with these permissions, taken on by the administrator."""
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        folder = self.data / "control"
        with IamStore.open(folder, secrets.token_bytes) as store:
            role = store.entities.create_role(ACCOUNT, name, document(trust), now())
            store.policies.put_inline(role, "permissions", document(*statements))
        with IamReader.open(folder) as reader:
            caller = reader.find_credential(self.key[0], None, now()).verified()
            context = RequestContext(now(), REGION)
            return assume_role(reader, caller, role.arn, "session", context, secrets.token_bytes)

    def deactivate(self, access_key: str) -> None:
        with IamStore.open(self.data / "control", secrets.token_bytes) as store:
            store.access_keys.set_active(access_key, False)

    def tell_host(self, name: str, *words: str) -> None:
        (self.peer / name).write_text(" ".join(words))

    def ask_host_no_more(self, name: str) -> None:
        (self.peer / name).unlink()

    @property
    def orders(self) -> list[str]:
        try:
            return (self.peer / "orders").read_text().splitlines()
        except FileNotFoundError:
            return []

    @property
    def hosted(self) -> set[str]:
        return {path.name for path in (self.peer / "clusters").iterdir()}

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.data / "log/audit/control.jsonl").read_text().splitlines()]


def make_user(store: IamStore, name: str, statements: tuple[dict[str, Any], ...], account: str) -> tuple[str, str]:
    if account not in store.entities.list_accounts():
        store.entities.create_account(account, now())
    user = store.entities.create_user(account, name, now())
    if statements:
        store.policies.put_inline(user, "permissions", document(*statements))
    key = store.access_keys.create(user, now())
    return key.id, key.secret.reveal()


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def now() -> Timestamp:
    return Timestamp(time.time_ns())

"""What `borealis up` and `borealis env` tell the user to do works as it stands: from any folder, in a shell that was
used for something else before, over IPv6, and with a certificate of the user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.certificates import Authority
from tests.cluster import Cluster, StartCluster
from tests.compatibility.front_door import PSQL, FrontDoor
from tests.compatibility.test_clients import AWS
from tests.integration.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which(PSQL) is None, reason="there is no psql with TLS on the PATH")
WHO = "SELECT current_user"


def ask(cluster: Cluster) -> str:
    """Over the line that is printed, in another folder and without anything that is set here."""
    line = cluster.wait_told(r"^psql ").removeprefix("psql").strip()
    script = f"{line} -XAtc '{WHO}'"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def list_clusters(door: FrontDoor) -> list[str]:
    """By the AWS CLI, with what `borealis env` says."""
    done = subprocess.run(
        [AWS, "dsql", "list-clusters"], env=door.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [cluster["identifier"] for cluster in json.loads(done.stdout)["clusters"]]


def test_the_line_for_psql_works_in_any_folder(front_door: FrontDoor) -> None:
    assert ask(front_door.cluster) == "admin"


def test_the_command_in_the_line_is_found_from_any_folder(start_cluster: StartCluster) -> None:
    """Also when it was started as `make up` does it."""
    folder = Path(sys.executable).parent
    cluster = start_cluster(instances=1, command=(f"./{(folder / 'borealis').name}",), folder=folder)
    assert ask(cluster) == "admin"


def test_everything_that_is_named_is_there(front_door: FrontDoor) -> None:
    told = front_door.cluster.wait_told
    assert Path(told("^authority ").split()[1]).read_text().startswith("-----BEGIN CERTIFICATE")
    assert told("^API ").split()[1] == front_door.environment["AWS_ENDPOINT_URL_DSQL"]
    assert told("^cluster ").split()[1] == front_door.first.host


def test_the_environment_takes_the_place_of_another_one(front_door: FrontDoor) -> None:
    left_over = {
        "AWS_SESSION_TOKEN": "of-another-account",
        "AWS_PROFILE": "nobody-s",
        "AWS_DEFAULT_PROFILE": "nobody-s",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "PGSERVICE": "elsewhere",
    }
    door = FrontDoor(front_door.cluster, left_over)
    assert list_clusters(door)
    done = subprocess.run([PSQL, "-XAtc", WHO], env=door.environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "admin"), done.stderr


def has_source(log: Path, address: str) -> bool:
    return any(json.loads(line)["source"].startswith(address) for line in log.read_text().splitlines())


@pytest.mark.parametrize("listen", ["::", "::1"])
def test_ipv6(start_cluster: StartCluster, listen: str) -> None:
    cluster = start_cluster(instances=1, options=("--listen", listen))
    door = FrontDoor(cluster)
    assert ask(cluster) == "admin"
    assert list_clusters(door) == [door.first.identifier]
    for address in ["::1", *(["127.0.0.1"] if listen == "::" else [])]:
        with door.connect(door.first, hostaddr=address) as connection:
            assert connection.execute(WHO).fetchone() == ("admin",)
    own_address = "127.0.0.1:" if listen == "::" else "[::1]:"
    for service in ("relay", "control"):
        log = cluster.data / "log" / "audit" / f"{service}.jsonl"
        # A session may be at work before its login is on disk.
        wait_until(partial(has_source, log, own_address), f"{service} has written where its client was")


@contextmanager
def started(*options: str) -> Iterator[Cluster]:
    cluster = Cluster(instances=1, options=options)
    try:
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        cluster.close()


DOMAIN = ("--region", "eu-west-1", "--domain", "db.example")
NAMES = ("*.dsql.eu-west-1.db.example", "dsql.eu-west-1.db.example")


@pytest.mark.parametrize("has_root", [True, False], ids=["chain with its root", "root apart"])
def test_a_certificate_of_the_users_own(tmp_path: Path, has_root: bool) -> None:
    """RSA, as most are; and like one that is signed by others it does not name this machine."""
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = authority.issue(*NAMES, key=key, has_root=has_root)
    options = (*DOMAIN, "--certificate", str(own.chain), "--key", str(own.key))
    more = () if has_root else ("--authority", str(authority.certificate))
    with started(*options, *more) as cluster:
        door = FrontDoor(cluster)
        assert ask(cluster) == "admin"
        assert Path(cluster.wait_told("^authority ").split()[1]).exists()
        assert door.environment["AWS_ENDPOINT_URL_DSQL"] == f"https://dsql.eu-west-1.db.example:{cluster.api_port}"
        with door.resolving():
            assert door.api().list_clusters()["clusters"][0]["identifier"] == door.first.identifier
            # Others work with it as well, ours among them.
            assert door.first.identifier in door.command("cluster", "list")


def test_a_certificate_that_clients_do_not_accept_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path)
    unknown = authority.issue(*NAMES, has_root=False)
    other = authority.issue("*.dsql.us-east-1.db.example")
    for own, reason in ((unknown, "unable to get local issuer certificate"), (other, "Hostname mismatch")):
        with started(*DOMAIN, "--certificate", str(own.chain), "--key", str(own.key)) as cluster:
            told = cluster.wait_told("do not accept")
            assert reason in told
            assert "--authority" in told

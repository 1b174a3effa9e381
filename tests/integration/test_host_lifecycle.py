"""Starting, stopping and losing the processes of a cluster, as an operator does it."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from borealis.host.server_tree import EXTENSION_VARIABLE
from tests.cluster import EVENT_S, Cluster, StartCluster


def run_command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "borealis.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


def wait_until_nothing_uses(data: Path) -> None:
    """Every process of a host holds its lock; we get it when the last one has ended."""
    with (data / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], EVENT_S)[0])


def test_every_instance_takes_admin_over_tcp_and_nobody_as_superuser(cluster: Cluster) -> None:
    for instance in (1, 2):
        with cluster.connect(instance) as connection:
            assert connection.execute("SELECT current_user, current_database()").fetchone() == ("admin", "postgres")
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
        with cluster.connect_superuser(instance) as connection:
            assert connection.execute("SHOW is_superuser").fetchone() == ("on",)
        with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
            psycopg.connect(cluster.dsn(instance).replace("user=admin", "user=borealis"))


def test_nothing_runs_as_root(cluster: Cluster) -> None:
    for process in cluster.report().processes:
        status = Path(f"/proc/{process.process_id}/status").read_text()
        identities = [line.split()[1:] for line in status.splitlines() if line.startswith(("Uid:", "Gid:"))]
        assert "0" not in [number for numbers in identities for number in numbers], process.name


def test_status_tells_what_runs(cluster: Cluster) -> None:
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE status_seen (id int PRIMARY KEY)")
        connection.execute("DROP TABLE status_seen")
    found = json.loads(run_command("status", "--data", cluster.data, "--json").stdout)
    assert found["running"]
    [first] = found["clusters"]
    processes = [process for process in found["processes"] if process["cluster"] == first["cluster"]]
    names = ["transactions", "storage", "instance-1", "instance-2", "front-1", "front-2"]
    assert [process["name"] for process in processes] == names
    assert all(process["ready"] and process["pid"] for process in processes)
    assert [process["port"] for process in processes] == [None, None, cluster.port, cluster.port + 1, None, None]
    version = first["transactions"]["catalog_version"]
    assert version >= 2
    assert [process["catalog_version"] for process in processes] == [None, None, version, version, None, None]
    assert first["storage"]["applied_timestamp"] > 0
    text = run_command("status", "--data", cluster.data).stdout
    assert all(name in text for name in names)


@pytest.mark.parametrize("separator", [(), ("--",)])
def test_psql_is_opened_on_an_instance(cluster: Cluster, separator: tuple[str, ...]) -> None:
    options = ("-X", "-At", "-v", "name=port", "-c", "SHOW port")
    answer = run_command("psql", "--data", cluster.data, "--instance", "2", *separator, *options)
    assert answer.stdout.strip() == str(cluster.port + 1), answer.stderr
    missing = run_command("psql", "--data", cluster.data, "--instance", "3")
    assert missing.returncode == 1
    assert "there is no instance 3" in missing.stderr
    assert run_command("status", "--data", cluster.data, "-c", "SHOW port").returncode == 2


def test_psql_of_the_operator_does_not_care_how_others_connect(cluster: Cluster) -> None:
    """The README sets the variables of `borealis env` and then calls it in the same shell."""
    elsewhere = {"PGHOST": "nowhere.invalid", "PGHOSTADDR": "127.0.0.1", "PGSSLMODE": "verify-full", "PGUSER": "nobody"}
    answer = run_command("psql", "--data", cluster.data, "-At", "-c", "SHOW port", **elsewhere, PGOPTIONS="-cport=1")
    assert "port" in answer.stderr  # what sets up a session still counts
    answer = run_command("psql", "--data", cluster.data, "-At", "-c", "SHOW port", **elsewhere)
    assert answer.stdout.strip() == str(cluster.port), answer.stderr


def test_a_second_host_on_the_same_data_is_refused(cluster: Cluster) -> None:
    second = run_command("up", "--data", cluster.data, *cluster.ports)
    assert second.returncode == 1
    assert "already runs" in second.stderr


def test_a_port_that_is_in_use_is_named() -> None:
    folder = Path(tempfile.mkdtemp(prefix="borealis-test-"))
    folder.chmod(0o755)
    try:
        with socket.create_server(("127.0.0.1", 0)) as occupied:
            port = occupied.getsockname()[1]
            refused = run_command("up", "--data", folder / "data", "--port", str(port))
    finally:
        shutil.rmtree(folder)
    assert refused.returncode == 1
    assert f"127.0.0.1 port {port}" in refused.stderr


def test_a_process_that_cannot_start_says_why(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    cluster.stop()
    options = ("--data", cluster.data, *cluster.ports, "--set", "work_mem=much")
    failed = run_command("up", *options)
    assert failed.returncode == 1
    assert "instance-1 could not start" in failed.stderr
    assert "contains errors" in failed.stderr
    assert "instance-1.log" in failed.stderr
    wait_until_nothing_uses(cluster.data)


def test_what_was_committed_is_there_after_a_stop_and_a_start(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY, word text)")
        connection.execute("INSERT INTO kept VALUES (1, 'aurora'), (2, 'borealis')")
    cluster.stop()
    wait_until_nothing_uses(cluster.data)
    cluster.start()
    with cluster.connect() as connection:
        assert connection.execute("SELECT * FROM kept ORDER BY id").fetchall() == [(1, "aurora"), (2, "borealis")]


@pytest.mark.parametrize("name", ["transactions", "storage", "instance-1"])
def test_a_process_that_dies_is_started_again(start_cluster: StartCluster, name: str) -> None:
    cluster = start_cluster(instances=1)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE survivors (id int PRIMARY KEY)")
        connection.execute("INSERT INTO survivors VALUES (1)")
    cluster.kill(name)
    with cluster.connect() as connection:
        connection.execute("INSERT INTO survivors VALUES (2)")
        assert connection.execute("SELECT id FROM survivors ORDER BY id").fetchall() == [(1,), (2,)]
    assert next(process.restarts for process in cluster.report().processes if process.name == name) == 1


def test_nothing_survives_a_killed_host_and_the_next_one_starts(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=2)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE survivors (id int PRIMARY KEY)")
        connection.execute("INSERT INTO survivors VALUES (1)")
    cluster.kill_host()
    wait_until_nothing_uses(cluster.data)
    status = run_command("status", "--data", cluster.data)
    assert (status.returncode, "nothing runs" in status.stdout) == (3, True)
    cluster.start()
    with cluster.connect(2) as connection:
        assert connection.execute("SELECT id FROM survivors").fetchall() == [(1,)]


def test_a_busy_backend_does_not_outlive_its_killed_server(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    with closing(cluster.connect()) as connection:
        body = "BEGIN RAISE NOTICE 'spinning'; LOOP END LOOP; END"
        connection.execute(f"CREATE PROCEDURE spin() LANGUAGE plpgsql AS $${body}$$")  # type: ignore[arg-type]
        backend = os.pidfd_open(connection.info.backend_pid)
        connection.pgconn.send_query(b"CALL spin()")
        assert is_readable(connection.pgconn.socket), "the backend says that it is in its loop"
        cluster.kill("instance-1")
        assert is_readable(backend), "the backend has ended"
        os.close(backend)


def test_local_state_of_another_boot_is_thrown_away(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
        connection.execute("INSERT INTO kept VALUES (1)")
    cluster.stop()
    folder = cluster.directory.instance(1)
    folder.boot.write_text("another boot")
    # What a lost page cache may leave.
    (folder.pgdata / "global" / "pg_control").write_bytes(b"")
    cluster.start()
    with cluster.connect() as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]


@pytest.fixture
def private_extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The extension's folder is one that only root can enter, as in a virtual environment in root's home."""
    if os.geteuid() != 0:
        pytest.skip("only root has folders that the account of the host cannot enter")
    installed = Path(os.environ.get(EXTENSION_VARIABLE, Path(__file__).parents[2] / "src/borealis/host/extension"))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(installed, Path(folder, "extension"))
        monkeypatch.setenv(EXTENSION_VARIABLE, str(Path(folder, "extension")))
        yield


@pytest.mark.usefixtures("private_extension")
def test_a_server_out_of_reach_is_copied(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    copies = list((cluster.data / "server").iterdir())
    assert len(copies) == 1
    executable = os.readlink(f"/proc/{cluster.process_id('instance-1')}/exe")
    assert Path(executable).is_relative_to(copies[0])
    cluster.stop()
    cluster.start()
    assert list((cluster.data / "server").iterdir()) == copies

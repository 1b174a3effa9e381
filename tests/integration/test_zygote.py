"""Services are forks of a process that has imported everything, and children of the host like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import Cluster, StartCluster
from tests.integration.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere services are started as programs")

SERVICES = ("transactions", "storage")


def command_line(process_id: int) -> str:
    return Path(f"/proc/{process_id}/cmdline").read_text().replace("\0", " ")


def status_of(process_id: int, field: str) -> list[str]:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


def find_zygote(cluster: Cluster) -> int:
    host = cluster.report().process_id
    children = Path(f"/proc/{host}/task/{host}/children").read_text().split()
    [zygote] = [int(child) for child in children if name_of(child) == "zygote"]
    return zygote


def name_of(process_id: int | str) -> str:
    return Path(f"/proc/{process_id}/comm").read_text().strip()


def test_services_are_forks_of_the_zygote_and_children_of_the_host(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    zygote = find_zygote(cluster)
    for name in SERVICES:
        service = cluster.process_id(name)
        assert command_line(service) == command_line(zygote)
        assert name_of(service) == name
        assert status_of(service, "PPid") == [str(cluster.report().process_id)]
        assert os.getpgid(service) == service
        # real, effective, saved: nothing is left of root
        assert len(set(status_of(service, "Uid"))) == 1


def test_the_zygote_has_nothing_of_the_host(start_cluster: StartCluster) -> None:
    """But the lock of the data directory, the orders and the tether."""
    cluster = start_cluster(instances=1)
    zygote = find_zygote(cluster)
    links = {path.name: os.readlink(path) for path in Path(f"/proc/{zygote}/fd").iterdir()}
    assert links.pop("0") == os.devnull
    log = str(cluster.data / "log" / "zygote.log")
    assert {links.pop("1"), links.pop("2")} == {log}
    kinds = sorted(link.partition(":")[0] for link in links.values())
    assert kinds == sorted([str(cluster.data / "lock"), "pipe", "socket"])
    assert os.readlink(f"/proc/{zygote}/cwd") == "/"
    assert os.getpgid(zygote) == zygote


def test_the_zygote_acts_as_nobody_special(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    _, effective, _, files = status_of(find_zygote(cluster), "Uid")
    assert effective != "0"
    assert files != "0"


def test_services_outlive_the_zygote_and_come_back_without_it(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    zygote = find_zygote(cluster)
    before = {name: cluster.process_id(name) for name in SERVICES}
    os.kill(zygote, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{zygote}").exists(), "the zygote is gone")
    assert {name: cluster.process_id(name) for name in SERVICES} == before
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE kept (key integer PRIMARY KEY)")
        for key, name in enumerate(SERVICES):
            cluster.kill(name)
            connection.execute("INSERT INTO kept VALUES (%s)", [key])
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (len(SERVICES),)
    assert find_zygote(cluster) != zygote


def test_services_end_with_a_host_that_is_killed(start_cluster: StartCluster) -> None:
    cluster = start_cluster(instances=1)
    processes = [process.process_id for process in cluster.report().processes if process.process_id is not None]
    assert len(processes) == len(("relay", "control", "transactions", "storage", "instance", "front"))
    processes.append(find_zygote(cluster))
    cluster.kill_host()
    wait_until(
        lambda: not any(Path(f"/proc/{process}").exists() for process in processes), "everything has followed the host"
    )


REAP_WITHOUT_CHILDREN = """
import pathlib, sys
from borealis.host.process_tree import ProcessTree
ProcessTree(None, 0, pathlib.Path(sys.argv[1]))._reap()
"""


def test_a_host_whose_last_child_has_ended_goes_on(tmp_path: Path) -> None:
    """When nothing can start, the zygote has ended too: there is nobody left to wait for."""
    command = [sys.executable, "-c", REAP_WITHOUT_CHILDREN, str(tmp_path / "zygote.log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


LATE_CHILD = """
import os, signal, sys
from borealis.host.launch import attach_tether
child_end, host_end = os.pipe()
os.close(host_end)
attach_tether(child_end, signal.SIGTERM)
"""


def test_who_is_born_after_its_hosts_death_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", LATE_CHILD], timeout=60)
    assert done.returncode == -signal.SIGTERM


LATE_FORK = """
import os, pathlib, signal, sys
from borealis.host.forked import Zygote
from borealis.host.launch import Tether
folder = pathlib.Path(sys.argv[1])
zygote = Zygote(None, os.open(folder / "lock", os.O_CREAT | os.O_RDWR), folder / "zygote.log")
with (folder / "service.log").open("ab") as log:
    first = zygote.fork("first", "this", (), log, Tether(signal.SIGTERM))
    assert first is not None
    zygote._orders.settimeout(0.1)
    os.kill(zygote.process_id, signal.SIGSTOP)
    says_nothing = ("-n", "1", "-r", "1", "import time; time.sleep(600)")
    assert zygote.fork("late", "timeit", says_nothing, log, Tether(signal.SIGTERM)) is None
    os.kill(zygote.process_id, signal.SIGCONT)
try:
    while True:
        os.wait()
except ChildProcessError:
    print("nobody is left")
"""


def test_a_service_whose_fork_was_given_up_does_not_live(tmp_path: Path) -> None:
    """It is started in another way meanwhile, and there must not be two."""
    done = subprocess.run([sys.executable, "-c", LATE_FORK, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "nobody is left\n", done.stderr

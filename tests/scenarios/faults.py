"""kill -9 of processes of a cluster while a workload runs, chosen by a seed.

Kills follow the workload's progress, not the clock: after some more commits, the next victim dies.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from tests.cluster import Cluster
from tests.integration.waiting import wait_until
from tests.killing import descendants
from tests.scenarios.history import History

PROGRESS_TIMEOUT_S = 60.0
COMMITS_BETWEEN_KILLS = 40

# What the logs may say when processes are killed on purpose.
EXPECTED_LOGS = (
    r"was terminated by signal 9",
    r"server process .* exited",
    r"terminating any other active server processes",
    r"08007 FATAL",
)


def victims(cluster: Cluster) -> list[str]:
    return ["transactions", "storage", *(f"instance-{n}" for n in range(1, cluster.instances + 1)), "backend"]


def kill_backend(cluster: Cluster, chance: random.Random) -> str | None:
    """Kills one process of a session; its postmaster restarts the whole instance, as Postgres does.

    Returns when the instance takes connections again.
    """
    instance = chance.randrange(cluster.instances) + 1
    with suppress(psycopg.OperationalError), cluster.connect(instance) as witness:
        backends = [
            process_id
            for process_id in descendants(cluster.process_id(f"instance-{instance}"))
            if re.match(r"postgres: (?:\S+ )*admin ", command_line(process_id))
            and process_id != witness.info.backend_pid
        ]
        if not backends:
            return None
        with suppress(ProcessLookupError):
            os.kill(chance.choice(backends), signal.SIGKILL)
            # until it is lost with all the others
            witness.execute("SELECT pg_sleep(%s)", (PROGRESS_TIMEOUT_S,))
    wait_until(lambda: takes_connections(cluster, instance), f"instance {instance} has restarted")
    return f"a backend of instance-{instance}"


def takes_connections(cluster: Cluster, instance: int) -> bool:
    try:
        cluster.connect(instance).close()
    except psycopg.OperationalError:
        return False
    return True


def command_line(process_id: int) -> str:
    with suppress(OSError), open(f"/proc/{process_id}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace")
    return ""


@contextmanager
def kills(cluster: Cluster, history: History[Any], seed: int, count: int) -> Iterator[list[str]]:
    """While the block runs, kills so many processes one after the other; yields the list of what was killed.

    Raises what went wrong while killing: a process that did not come back, or a workload that stood still.
    """
    chance = random.Random(f"{seed}/kills")
    stop = threading.Event()
    killed: list[str] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            while len(killed) < count and history.wait_for_commits(COMMITS_BETWEEN_KILLS, stop, PROGRESS_TIMEOUT_S):
                victim = chance.choice(victims(cluster))
                if victim == "backend":
                    victim = kill_backend(cluster, chance) or ""
                else:
                    cluster.kill(victim)
                if victim:
                    killed.append(victim)
        except BaseException as problem:  # whatever it is, the test must see it
            problems.append(problem)

    for pattern in EXPECTED_LOGS:
        cluster.expect_log(pattern)
    thread = threading.Thread(target=run, name="kills")
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        history.wake()
        thread.join()
    print(f"killed: {', '.join(killed) or 'nothing'}")
    if problems:
        raise problems[0]
    assert killed, "the workload ended before anything was killed"

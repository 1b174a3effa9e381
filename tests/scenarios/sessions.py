"""Client sessions of a workload: one transaction at a time, its outcome told apart as a careful client would.

A transaction that failed before its COMMIT was sent is certainly not committed. One whose COMMIT was answered with an
error that says so is not either. A connection that broke while the COMMIT was under way leaves the outcome unknown.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from tests.cluster import Cluster, Connection
from tests.scenarios.history import Attempt, Outcome

Work = TypeVar("Work")

# How long a client goes on trying to reach an instance that was killed.
RECONNECT_S = 60.0
RECONNECT_PAUSE_S = 0.02

# The server said that it is going away: as good as a broken connection.
GOING_AWAY = {"57P01", "57P02", "57P03", "08000", "08003", "08006"}
OUTCOME_UNKNOWN = "08007"
LOST = "lost"


class Session:
    """One client of one instance. Not shared between threads."""

    def __init__(self, cluster: Cluster, instance: int, stop: threading.Event) -> None:
        self._cluster = cluster
        self._instance = instance
        self._stop = stop
        self._connection: Connection | None = None

    def attempt(self, work: Callable[[Connection], Work], intent: Work) -> Attempt[Work]:
        """One transaction. `work` returns what it did; `intent` stands for it if it did not get that far."""
        connection = self._connected()
        began = time.monotonic_ns()
        done, outcome, error, message = intent, Outcome.REJECTED, None, None
        try:
            done = work(connection)
        except psycopg.Error as problem:
            error, message = self._recover(problem), str(problem)
        else:
            try:
                connection.commit()
                outcome = Outcome.COMMITTED
            except psycopg.Error as problem:
                error, message = self._recover(problem), str(problem)
                if error in GOING_AWAY or error in (LOST, OUTCOME_UNKNOWN):
                    outcome = Outcome.UNKNOWN
        return Attempt(done, outcome, began, time.monotonic_ns(), error, message)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        deadline = time.monotonic() + RECONNECT_S
        while self._connection is None:
            try:
                self._connection = self._cluster.connect(self._instance, autocommit=False)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                self._stop.wait(RECONNECT_PAUSE_S)
        return self._connection

    def _recover(self, problem: psycopg.Error) -> str:
        """Makes the session usable again; returns the error's SQLSTATE, or LOST."""
        assert self._connection is not None
        if self._connection.closed or self._connection.broken or problem.sqlstate is None:
            self.close()
            return problem.sqlstate or LOST
        try:
            self._connection.rollback()
        except psycopg.Error:
            self.close()
        return problem.sqlstate


Step = Callable[[Session, random.Random], None]


def run_workers(cluster: Cluster, steps: int, workers: dict[str, Step], seed: int) -> None:
    """Runs each worker's step so often, all at once, workers spread over the instances; raises what any of them raised.

    The seed fixes what each worker wants to do, not how they interleave.
    """
    stop = threading.Event()
    problems: list[BaseException] = []

    def run(number: int, name: str, step: Step) -> None:
        session = Session(cluster, number % cluster.instances + 1, stop)
        chance = random.Random(f"{seed}/{name}")
        try:
            for _ in range(steps):
                if stop.is_set():
                    break
                step(session, chance)
        except BaseException as problem:  # whatever it is, the test must see it
            problems.append(problem)
            stop.set()
        finally:
            session.close()

    threads = [
        threading.Thread(target=run, args=(number, name, step), name=name)
        for number, (name, step) in enumerate(workers.items())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]

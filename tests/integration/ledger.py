"""Clients under load that remember what each COMMIT told them, and the judge of whether that was the truth.

Each transaction inserts an entry with an id of its own, counts it in its worker's total and, every few times, in a
total that all workers fight over. So a transaction that was applied in part, twice, or after it was refused shows up as
a difference between entries and totals, or between entries and what the clients were told.
"""

from __future__ import annotations

import threading
from enum import Enum, auto
from types import TracebackType
from typing import Self

import psycopg

from tests.cluster import Cluster, Connection
from tests.integration.waiting import GIVE_UP_S

SHARED_EVERY = 4
# SQLSTATEs that promise that nothing was committed: conflicts, unavailable, no room, limits.
REFUSALS = ("40001", "57P03", "53100", "53300", "54000")


class Told(Enum):
    COMMITTED = auto()
    REFUSED = auto()
    UNKNOWN = auto()


class Worker(threading.Thread):
    """One client. Reconnects as often as it has to."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        super().__init__(daemon=True)
        self.told: dict[int, Told] = {}
        self.commits = 0
        self.surprise: BaseException | None = None
        self._ledger = ledger
        self._number = number
        self._instance = number % ledger.cluster.instances + 1

    def run(self) -> None:
        connection: Connection | None = None
        turn = 0
        try:
            while not self._ledger.is_stopping.is_set():
                if connection is None or connection.broken:
                    connection = self._connect()
                    continue
                turn += 1
                entry = turn * 1000 + self._number
                self.told[entry] = self._work(connection, entry, is_shared=turn % SHARED_EVERY == 0)
                self._ledger.note_progress(self, self.told[entry])
        except BaseException as error:
            self.surprise = error
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> Connection | None:
        try:
            return self._ledger.cluster.connect(self._instance, autocommit=False)
        except psycopg.OperationalError:
            self._ledger.is_stopping.wait(0.01)  # the instance restarts
            return None

    def _work(self, connection: Connection, entry: int, *, is_shared: bool) -> Told:
        is_committing = False
        try:
            connection.execute("INSERT INTO entries VALUES (%s, %s, %s)", [entry, self._number, is_shared])
            connection.execute("UPDATE totals SET entries = entries + 1 WHERE worker = %s", [self._number])
            if is_shared:
                connection.execute("UPDATE totals SET entries = entries + 1 WHERE worker = -1")
            is_committing = True
            connection.commit()
        except psycopg.Error as error:
            if error.sqlstate in REFUSALS:
                if not connection.broken:
                    connection.rollback()
                return Told.REFUSED
            if connection.broken:
                return Told.UNKNOWN if is_committing else Told.REFUSED
            raise
        return Told.COMMITTED


class Ledger:
    """Use as a context: workers run inside of it. Then `check`."""

    def __init__(self, cluster: Cluster, workers: int = 4) -> None:
        self.cluster = cluster
        self.is_stopping = threading.Event()
        self._progress = threading.Condition()
        with cluster.connect() as connection:
            connection.execute("CREATE TABLE entries (id bigint PRIMARY KEY, worker int, is_shared boolean)")
            connection.execute("CREATE INDEX ON entries (worker)")
            connection.execute("CREATE TABLE totals (worker int PRIMARY KEY, entries bigint)")
            connection.execute("INSERT INTO totals SELECT g, 0 FROM generate_series(-1, %s) g", [workers - 1])
        self._workers = [Worker(self, number) for number in range(workers)]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_stopping.set()
        for worker in self._workers:
            worker.join(GIVE_UP_S)
        if kind is None:
            self._raise_surprises()

    def note_progress(self, worker: Worker, told: Told) -> None:
        if told is Told.COMMITTED:
            with self._progress:
                worker.commits += 1
                self._progress.notify_all()

    def wait_commits(self, more: int) -> None:
        """Until every worker has committed so many more."""
        goals = [worker.commits + more for worker in self._workers]

        def is_reached() -> bool:
            reached = all(worker.commits >= goal for worker, goal in zip(self._workers, goals, strict=True))
            return reached or any(not worker.is_alive() for worker in self._workers)

        with self._progress:
            found = self._progress.wait_for(is_reached, GIVE_UP_S)
        self._raise_surprises()
        assert found, self.cluster.describe("the workers make no progress")

    def _raise_surprises(self) -> None:
        for worker in self._workers:
            if worker.surprise is not None:
                raise worker.surprise

    def count(self, told: Told) -> int:
        return sum(answer is told for worker in self._workers for answer in worker.told.values())

    def check(self) -> None:
        """What every instance shows is what the clients were told."""
        told = {entry: answer for worker in self._workers for entry, answer in worker.told.items()}
        for instance in range(1, self.cluster.instances + 1):
            with self.cluster.connect(instance, autocommit=False) as connection:
                self._check_entries(connection, told)
                self._check_totals(connection)

    def _check_entries(self, connection: Connection, told: dict[int, Told]) -> None:
        stored = {int(str(row[0])) for row in connection.execute("SELECT id FROM entries")}
        lost = [entry for entry, answer in told.items() if answer is Told.COMMITTED and entry not in stored]
        risen = [entry for entry, answer in told.items() if answer is Told.REFUSED and entry in stored]
        assert not lost, f"acknowledged but not there: {lost}"
        assert not risen, f"refused but there: {risen}"
        assert stored <= told.keys(), f"from nowhere: {stored - told.keys()}"

    def _check_totals(self, connection: Connection) -> None:
        by_worker = connection.execute("SELECT worker, entries FROM totals ORDER BY worker").fetchall()
        counted = connection.execute(
            "SELECT -1, count(*) FROM entries WHERE is_shared UNION ALL"
            " SELECT worker, (SELECT count(*) FROM entries e WHERE e.worker = t.worker) FROM totals t WHERE worker >= 0"
            " ORDER BY 1"
        ).fetchall()
        assert by_worker == counted, "transactions were applied in part or twice"

"""Random transactions that append to lists and read them; the history must be strongly snapshot isolated."""

from __future__ import annotations

import itertools
import random
import time

from tests.cluster import Cluster, Connection
from tests.scenarios.conftest import Circumstances
from tests.scenarios.history import Attempt, History, Outcome
from tests.scenarios.judging import assert_outcomes
from tests.scenarios.list_append import Append, Read, Transaction, check
from tests.scenarios.sessions import Session, run_workers

KEYS = 8
STEPS = 100
WORKERS = 8

SCHEMA = """
CREATE SCHEMA lists;
CREATE TABLE lists.list (key int PRIMARY KEY, tag text UNIQUE, elements int[] NOT NULL);
"""
APPEND = """
INSERT INTO lists.list VALUES (%(key)s, 'tag ' || %(key)s, ARRAY[%(value)s])
ON CONFLICT (key) DO UPDATE SET elements = list.elements || %(value)s
"""
APPEND_BY_TAG = """
UPDATE lists.list SET elements = elements || %(value)s WHERE tag = 'tag ' || %(key)s
"""
READS = (
    "SELECT elements FROM lists.list WHERE key = %s",
    "SELECT elements FROM lists.list WHERE tag = 'tag ' || %s::text",
    "SELECT elements FROM (SELECT * FROM lists.list ORDER BY elements) AS l WHERE key + 0 = %s",
)


def perform(connection: Connection, work: Transaction, chance: random.Random) -> Transaction:
    """Does what is wanted; returns it with what was read."""
    done: list[Append | Read] = []
    for operation in work:
        if isinstance(operation, Read):
            row = connection.execute(chance.choice(READS), (operation.key,)).fetchone()
            done.append(Read(operation.key, tuple(row[0]) if row else ()))  # type: ignore[arg-type]
            continue
        values = {"key": operation.key, "value": operation.value}
        if chance.random() < 0.7 or connection.execute(APPEND_BY_TAG, values).rowcount == 0:
            connection.execute(APPEND, values)
        done.append(operation)
    return tuple(done)


def read_everything(cluster: Cluster, instance: int) -> Attempt[Transaction]:
    began = time.monotonic_ns()
    with cluster.connect(instance) as connection:
        rows = dict(connection.execute("SELECT key, elements FROM lists.list").fetchall())
    reads = tuple(Read(key, tuple(rows.get(key, ()))) for key in range(KEYS))  # type: ignore[arg-type]
    return Attempt(reads, Outcome.COMMITTED, began, time.monotonic_ns())


def test_list_append(own_cluster: Cluster, seed: int, circumstances: Circumstances) -> None:
    history: History[Transaction] = History()
    numbers = itertools.count(1)
    with own_cluster.connect() as connection:
        connection.execute(SCHEMA)

    def step(session: Session, chance: random.Random) -> None:
        work = tuple(
            Append(key, next(numbers)) if chance.random() < 0.5 else Read(key, ())
            for key in chance.choices(range(KEYS), k=chance.randrange(1, 5))
        )
        # What a transaction meant to read tells nothing; what it meant to append may have happened.
        intent = tuple(operation for operation in work if isinstance(operation, Append))
        history.add(session.attempt(lambda connection: perform(connection, work, chance), intent))

    with circumstances.around(own_cluster, history):
        run_workers(own_cluster, STEPS, {f"worker {n}": step for n in range(WORKERS)}, seed)

    assert_outcomes(history, is_calm=circumstances.is_calm)
    for instance in range(1, own_cluster.instances + 1):
        anomalies = check([*history.attempts(), read_everything(own_cluster, instance)])
        assert not anomalies, "\n".join(map(str, anomalies))

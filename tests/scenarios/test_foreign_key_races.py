"""Parents are deleted, and renumbered, while children are born on the other instance: no orphan, ever."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.cluster import Cluster, Connection
from tests.scenarios.conftest import Circumstances
from tests.scenarios.history import History, Outcome
from tests.scenarios.judging import assert_outcomes
from tests.scenarios.sessions import Session, run_workers

PARENTS = 12
STEPS = 90
WORKERS = 8

# The same race for each action, immediate and deferred.
SCHEMA = """
CREATE SCHEMA family;
CREATE TABLE family.parent (id int PRIMARY KEY, note int NOT NULL DEFAULT 0);
CREATE TABLE family.plain (id text PRIMARY KEY, parent int NOT NULL REFERENCES family.parent);
CREATE TABLE family.deferred (
    id text PRIMARY KEY,
    parent int NOT NULL REFERENCES family.parent DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE family.cascading (
    id text PRIMARY KEY,
    parent int NOT NULL REFERENCES family.parent ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE family.nulling (id text PRIMARY KEY, parent int REFERENCES family.parent ON DELETE SET NULL);
CREATE INDEX ON family.plain (parent);
CREATE INDEX ON family.cascading (parent);
"""
TABLES = ("plain", "deferred", "cascading", "nulling")
FOREIGN_KEY_VIOLATION, UNIQUE_VIOLATION = "23503", "23505"


@dataclass(frozen=True)
class Deed:
    """`kind` is birth, death or change; `child` names the born one."""

    kind: str
    parent: int
    table: str = ""
    child: str = ""


def perform(connection: Connection, deed: Deed) -> Deed:
    if deed.kind == "birth":
        connection.execute(f"INSERT INTO family.{deed.table} VALUES (%s, %s)", (deed.child, deed.parent))  # type: ignore[arg-type]
    elif deed.kind == "death":
        # Half of the children are taken along, as an application that tidies up would.
        connection.execute("DELETE FROM family.plain WHERE parent = %s", (deed.parent,))
        connection.execute("DELETE FROM family.deferred WHERE parent = %s", (deed.parent,))
        connection.execute("DELETE FROM family.parent WHERE id = %s", (deed.parent,))
    elif deed.kind == "rebirth":
        connection.execute("INSERT INTO family.parent VALUES (%s) ON CONFLICT DO NOTHING", (deed.parent,))
    else:
        # No key changes: it must not get into the way of births, which lock the key only.
        connection.execute("UPDATE family.parent SET note = note + 1 WHERE id = %s", (deed.parent,))
    return deed


def test_foreign_key_races(own_cluster: Cluster, seed: int, circumstances: Circumstances) -> None:
    history: History[Deed] = History()
    with own_cluster.connect() as connection:
        connection.execute(SCHEMA)
        connection.execute("INSERT INTO family.parent SELECT g FROM generate_series(0, %s) g", (PARENTS - 1,))

    def step(session: Session, chance: random.Random) -> None:
        kind = chance.choices(["birth", "death", "rebirth", "change"], [6, 2, 2, 1])[0]
        deed = Deed(kind, chance.randrange(PARENTS), chance.choice(TABLES), f"{chance.getrandbits(64):x}")
        history.add(session.attempt(lambda connection: perform(connection, deed), deed))

    with circumstances.around(own_cluster, history):
        run_workers(own_cluster, STEPS, {f"worker {n}": step for n in range(WORKERS)}, seed)

    allowed = frozenset({FOREIGN_KEY_VIOLATION, UNIQUE_VIOLATION})
    assert_outcomes(history, is_calm=circumstances.is_calm, also=allowed)
    for instance in range(1, own_cluster.instances + 1):
        with own_cluster.connect(instance) as connection:
            judge(connection, history)


def judge(connection: Connection, history: History[Deed]) -> None:
    for table in TABLES:
        orphans = connection.execute(
            f"SELECT id, parent FROM family.{table} c WHERE parent IS NOT NULL"  # type: ignore[arg-type]
            " AND NOT EXISTS (SELECT FROM family.parent p WHERE p.id = c.parent)"
        ).fetchall()
        assert not orphans, f"orphans in {table}: {orphans}"
    born = {
        (attempt.work.table, attempt.work.child): attempt
        for attempt in history.attempts()
        if attempt.work.kind == "birth" and attempt.outcome is not Outcome.REJECTED
    }
    for table in TABLES:
        for (child,) in connection.execute(f"SELECT id FROM family.{table}").fetchall():  # type: ignore[arg-type]
            assert (table, child) in born, f"{child} of {table} lives, but its birth was rejected"
    # Nothing ever deletes from this one: whoever was born is there.
    present = {row[0] for row in connection.execute("SELECT id FROM family.nulling").fetchall()}
    promised = {child for (table, child), attempt in born.items() if table == "nulling" and attempt.is_committed}
    assert promised <= present, f"acknowledged births are lost: {promised - present}"


def test_births_do_not_conflict_with_each_other(own_cluster: Cluster) -> None:
    """Key share with key share, and key share with a change of other columns: nobody has to retry."""
    with own_cluster.connect() as connection:
        connection.execute(SCHEMA)
        connection.execute("INSERT INTO family.parent VALUES (1)")
    sessions = [own_cluster.connect(instance, autocommit=False) for instance in (1, 2, 1)]
    sessions[0].execute("INSERT INTO family.plain VALUES ('a', 1)")
    sessions[1].execute("INSERT INTO family.plain VALUES ('b', 1)")
    sessions[2].execute("UPDATE family.parent SET note = 7 WHERE id = 1")
    for session in sessions:
        session.commit()
        session.close()
    with own_cluster.connect(2) as connection:
        assert connection.execute("SELECT count(*) FROM family.plain").fetchone() == (2,)
        assert connection.execute("SELECT note FROM family.parent").fetchone() == (7,)

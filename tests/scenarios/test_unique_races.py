"""Sessions on both instances race for the same unique values: each has one winner, the one who was told so."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

from tests.cluster import Cluster, Connection
from tests.scenarios.conftest import Circumstances
from tests.scenarios.history import History, Outcome
from tests.scenarios.judging import assert_outcomes
from tests.scenarios.sessions import Session, run_workers

NAMES = 25
STEPS = 80
WORKERS = 8

# The unique value is the primary key, a secondary index, an index of NULLs that are not distinct, or a partial one.
SCHEMA = """
CREATE SCHEMA race;
CREATE TABLE race.by_key (name text PRIMARY KEY, owner text NOT NULL);
CREATE TABLE race.by_index (owner text PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE race.by_nulls (owner text PRIMARY KEY, name text, extra int, UNIQUE NULLS NOT DISTINCT (name, extra));
CREATE TABLE race.by_part (owner text PRIMARY KEY, name text NOT NULL, live bool NOT NULL DEFAULT true);
CREATE UNIQUE INDEX ON race.by_part (name) WHERE live;
"""
TABLES = ("by_key", "by_index", "by_nulls", "by_part")
UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True)
class Claim:
    """`won` is None for a claim that only was made."""

    table: str
    name: str
    owner: str
    won: bool | None = None


def claim(connection: Connection, wanted: Claim, chance: random.Random) -> Claim:
    """Takes a name by INSERT, by ON CONFLICT DO NOTHING, or by renaming a row of one's own."""
    values = {"name": wanted.name, "owner": wanted.owner}
    insert = f"INSERT INTO race.{wanted.table} (name, owner) VALUES (%(name)s, %(owner)s)"
    way = chance.randrange(3)
    if way == 0:
        connection.execute(insert, values)  # type: ignore[arg-type]
        return replace(wanted, won=True)
    if way == 1:
        inserted = connection.execute(insert + " ON CONFLICT DO NOTHING", values).rowcount  # type: ignore[arg-type]
        return replace(wanted, won=inserted == 1)
    connection.execute(insert, {**values, "name": f"draft of {wanted.owner}"})  # type: ignore[arg-type]
    connection.execute(f"UPDATE race.{wanted.table} SET name = %(name)s WHERE owner = %(owner)s", values)  # type: ignore[arg-type]
    return replace(wanted, won=True)


def test_unique_races(own_cluster: Cluster, seed: int, circumstances: Circumstances) -> None:
    history: History[Claim] = History()
    with own_cluster.connect() as connection:
        connection.execute(SCHEMA)

    def step(session: Session, chance: random.Random) -> None:
        owner = f"{chance.getrandbits(64):x}"
        wanted = Claim(chance.choice(TABLES), f"name {chance.randrange(NAMES)}", owner)
        history.add(session.attempt(lambda connection: claim(connection, wanted, chance), wanted))

    with circumstances.around(own_cluster, history):
        run_workers(own_cluster, STEPS, {f"worker {n}": step for n in range(WORKERS)}, seed)

    assert_outcomes(history, is_calm=circumstances.is_calm, also=frozenset({UNIQUE_VIOLATION}))
    for instance in range(1, own_cluster.instances + 1):
        with own_cluster.connect(instance) as connection:
            for table in TABLES:
                judge(connection, table, history)


def judge(connection: Connection, table: str, history: History[Claim]) -> None:
    rows = connection.execute(f"SELECT name, owner FROM race.{table}").fetchall()  # type: ignore[arg-type]
    doubled = [name for name, count in Counter(name for name, _ in rows).items() if count > 1]
    assert not doubled, f"{table} has {doubled} more than once"
    owners = {str(name): str(owner) for name, owner in rows}
    winners = [a.work for a in history.attempts(Outcome.COMMITTED) if a.work.table == table and a.work.won]
    maybe = {(a.work.name, a.work.owner) for a in history.attempts(Outcome.UNKNOWN) if a.work.table == table}
    for winner in winners:
        assert owners.get(winner.name) == winner.owner, f"{winner} was told that it won"
    told = {(winner.name, winner.owner) for winner in winners}
    for name, owner in owners.items():
        assert (name, owner) in told | maybe, f"{owner} has {name} of {table}, but was told that it failed"
    # A lost race was lost to somebody.
    lost = {a.work.name for a in history.attempts() if a.work.table == table and a.error == UNIQUE_VIOLATION}
    assert lost <= owners.keys()
    for name in owners:
        with connection.transaction():
            connection.execute("SET LOCAL enable_seqscan = off")
            found = connection.execute(f"SELECT count(*) FROM race.{table} WHERE name = %s", (name,)).fetchone()  # type: ignore[arg-type]
        assert found == (1,), f"index and table of {table} disagree about {name}"

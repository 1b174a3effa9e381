"""Numbers of a sequence are drawn on both instances: none is ever given twice, whoever rolls back or dies."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from tests.cluster import Cluster, Connection
from tests.scenarios.conftest import Circumstances
from tests.scenarios.history import History, Outcome
from tests.scenarios.judging import assert_outcomes
from tests.scenarios.sessions import Session, run_workers

STEPS = 60
WORKERS = 6

SCHEMA = """
CREATE SCHEMA numbers;
CREATE SEQUENCE numbers.plain;
CREATE SEQUENCE numbers.cached CACHE 20;
CREATE SEQUENCE numbers.down INCREMENT -3 MAXVALUE 1000000 MINVALUE -1000000 START 0;
CREATE TABLE numbers.ticket (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, holder text NOT NULL);
"""
SEQUENCES = ("plain", "cached", "down")


@dataclass(frozen=True)
class Drawn:
    """Numbers that a client has seen, by sequence; whether they came in the right order within the transaction."""

    numbers: tuple[tuple[str, int], ...] = ()
    holder: str = ""


def draw(connection: Connection, drawn: list[tuple[str, int]], chance: random.Random, holder: str) -> Drawn:
    for _ in range(chance.randrange(1, 5)):
        name = chance.choice(SEQUENCES)
        row = connection.execute(f"SELECT nextval('numbers.{name}')").fetchone()  # type: ignore[arg-type]
        assert row is not None
        drawn.append((name, int(str(row[0]))))
    row = connection.execute("INSERT INTO numbers.ticket (holder) VALUES (%s) RETURNING id", (holder,)).fetchone()
    assert row is not None
    drawn.append(("ticket", int(str(row[0]))))
    if chance.random() < 0.3:
        connection.rollback()
        return Drawn(tuple(drawn))
    return Drawn(tuple(drawn), holder)


def test_sequences(own_cluster: Cluster, seed: int, circumstances: Circumstances) -> None:
    history: History[Drawn] = History()
    seen: list[list[tuple[str, int]]] = []
    with own_cluster.connect() as connection:
        connection.execute(SCHEMA)

    def step(session: Session, chance: random.Random) -> None:
        drawn: list[tuple[str, int]] = []
        seen.append(drawn)  # numbers count as given even if the transaction goes no further
        holder = f"{chance.getrandbits(64):x}"
        history.add(session.attempt(lambda c: draw(c, drawn, chance, holder), Drawn(holder=holder)))

    with circumstances.around(own_cluster, history):
        run_workers(own_cluster, STEPS, {f"worker {n}": step for n in range(WORKERS)}, seed)

    assert_outcomes(history, is_calm=circumstances.is_calm)
    counts = Counter(number for drawn in seen for number in drawn)
    twice = {number: count for number, count in counts.items() if count > 1}
    assert not twice, f"given more than once: {twice}"
    for drawn in seen:
        for name, sign in (("plain", 1), ("cached", 1), ("down", -1), ("ticket", 1)):
            own = [number * sign for which, number in drawn if which == name]
            assert own == sorted(own), f"a session drew {own} from {name}"
    tickets = {
        attempt.work.holder: number
        for attempt in history.attempts(Outcome.COMMITTED)
        for which, number in attempt.work.numbers
        if which == "ticket" and attempt.work.holder
    }
    for instance in range(1, own_cluster.instances + 1):
        with own_cluster.connect(instance) as connection:
            rows = dict(connection.execute("SELECT holder, id FROM numbers.ticket").fetchall())
        lost = tickets.items() - rows.items()
        assert not lost, f"acknowledged, but lost: {lost}"

"""Transfers between accounts: the sum never changes for any reader, and every transfer is there exactly once or not.

Each transfer also writes a line into a ledger under its own id, in the same transaction; so the final balances can be
computed from the lines, and the lines compared with what clients were told.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from dataclasses import dataclass

from tests.cluster import Cluster, Connection
from tests.scenarios.conftest import Circumstances
from tests.scenarios.history import History, Outcome
from tests.scenarios.judging import assert_outcomes
from tests.scenarios.sessions import Session, run_workers

ACCOUNTS = 20
OPENING = 100
STEPS = 120

SCHEMA = """
CREATE SCHEMA bank;
CREATE TABLE bank.account (id int PRIMARY KEY, branch int NOT NULL, balance bigint NOT NULL CHECK (balance >= 0));
CREATE INDEX ON bank.account (branch, balance);
CREATE TABLE bank.ledger (
    id uuid PRIMARY KEY,
    source int NOT NULL REFERENCES bank.account,
    target int NOT NULL REFERENCES bank.account,
    amount bigint NOT NULL
);
CREATE INDEX ON bank.ledger (source);
"""

# The same sum by ways that must not differ: the table, its key in pieces, a secondary index, joined with itself.
SUMS = (
    "SELECT sum(balance) FROM bank.account",
    "SELECT sum(s) FROM (SELECT sum(balance) s FROM bank.account GROUP BY id < 9) AS halves",
    "SELECT sum(s) FROM (SELECT branch, sum(balance) s FROM bank.account GROUP BY branch ORDER BY branch) AS branches",
    "SELECT sum(a.balance) FROM bank.account a JOIN bank.account b USING (id, balance)",
)


@dataclass(frozen=True)
class Transfer:
    id: uuid.UUID
    source: int
    target: int
    amount: int


def apply_transfer(connection: Connection, transfer: Transfer) -> Transfer:
    for account, amount in ((transfer.source, -transfer.amount), (transfer.target, transfer.amount)):
        connection.execute("UPDATE bank.account SET balance = balance + %s WHERE id = %s", (amount, account))
    connection.execute(
        "INSERT INTO bank.ledger VALUES (%s, %s, %s, %s)",
        (transfer.id, transfer.source, transfer.target, transfer.amount),
    )
    return transfer


def open_accounts(cluster: Cluster) -> None:
    with cluster.connect() as connection:
        connection.execute(SCHEMA)
        connection.execute(
            "INSERT INTO bank.account SELECT g, g %% 4, %s FROM generate_series(0, %s) g", (OPENING, ACCOUNTS - 1)
        )


def test_bank(own_cluster: Cluster, seed: int, circumstances: Circumstances) -> None:
    transfers: History[Transfer] = History()
    sums: History[list[int]] = History()
    open_accounts(own_cluster)

    def transfer(session: Session, chance: random.Random) -> None:
        source, target = chance.sample(range(ACCOUNTS), 2)
        wanted = Transfer(uuid.UUID(int=chance.getrandbits(128)), source, target, chance.randrange(1, 30))
        transfers.add(session.attempt(lambda connection: apply_transfer(connection, wanted), wanted))

    def look(session: Session, chance: random.Random) -> None:
        queries = chance.sample(SUMS, 2)

        def read(connection: Connection) -> list[int]:
            rows = [connection.execute(query).fetchone() for query in queries]
            return [int(str(row[0])) for row in rows if row]

        sums.add(session.attempt(read, []))

    writers = {f"writer {n}": transfer for n in range(6)}
    readers = {f"reader {n}": look for n in range(2)}
    with circumstances.around(own_cluster, transfers):
        run_workers(own_cluster, STEPS, writers | readers, seed)

    # A balance may fall below zero in a write set; CHECK refuses it.
    assert_outcomes(transfers, is_calm=circumstances.is_calm, also=frozenset({"23514"}))
    assert_outcomes(sums, is_calm=circumstances.is_calm)
    for attempt in sums.attempts():
        assert all(total == ACCOUNTS * OPENING for total in attempt.work), f"a reader saw {attempt.work}"
    for instance in range(1, own_cluster.instances + 1):
        with own_cluster.connect(instance) as connection:
            judge_ledger(connection, transfers)


def judge_ledger(connection: Connection, transfers: History[Transfer]) -> None:
    lines = [
        Transfer(*row)  # type: ignore[arg-type]
        for row in connection.execute("SELECT id, source, target, amount FROM bank.ledger").fetchall()
    ]
    assert max(Counter(line.id for line in lines).values(), default=0) <= 1, "a transfer was applied twice"
    written = set(lines)
    committed = {attempt.work for attempt in transfers.attempts(Outcome.COMMITTED)}
    unknown = {attempt.work for attempt in transfers.attempts(Outcome.UNKNOWN)}
    assert committed <= written, f"acknowledged, but lost: {committed - written}"
    assert written <= committed | unknown, f"rejected, but there: {written - committed - unknown}"

    balances = dict.fromkeys(range(ACCOUNTS), OPENING)
    for line in lines:
        balances[line.source] -= line.amount
        balances[line.target] += line.amount
    rows = connection.execute("SELECT id, balance FROM bank.account").fetchall()
    assert dict(rows) == balances, "half of a transfer was applied"
    by_index = connection.execute("SELECT count(*) FROM bank.ledger WHERE source >= 0").fetchone()
    assert by_index == (len(lines),), "table and index disagree"

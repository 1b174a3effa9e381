"""Tables change while they are written on the other instance: no row is lost, and every index knows every row.

One worker adds and drops indexes and columns, rewrites the table, and adds and drops constraints; the others insert,
update and delete rows and keep a record of what they were told. Whoever meets a changed schema gets 40001 and retries.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.cluster import Cluster, Connection
from tests.sameness.conftest import servers_of
from tests.sameness.script import end_state
from tests.scenarios.conftest import Circumstances
from tests.scenarios.history import History, Outcome
from tests.scenarios.judging import assert_outcomes
from tests.scenarios.sessions import Session, run_workers

STEPS = 60
WRITERS = 5
KEYS = 200

SCHEMA = """
CREATE SCHEMA same;
CREATE TABLE same.row (id int PRIMARY KEY, v int NOT NULL, w text NOT NULL DEFAULT 'w');
CREATE INDEX row_v ON same.row (v);
"""

CHANGES = (
    "CREATE INDEX IF NOT EXISTS row_w ON same.row (w, v)",
    "DROP INDEX IF EXISTS same.row_w",
    "CREATE UNIQUE INDEX IF NOT EXISTS row_vi ON same.row (v, id)",
    "DROP INDEX IF EXISTS same.row_vi",
    "ALTER TABLE same.row ADD COLUMN IF NOT EXISTS x int NOT NULL DEFAULT 7",
    "ALTER TABLE same.row DROP COLUMN IF EXISTS x",
    "ALTER TABLE same.row ALTER v TYPE bigint",
    "ALTER TABLE same.row ALTER v TYPE int",
    "ALTER TABLE same.row ALTER id TYPE bigint, ALTER w TYPE varchar(100)",
    "ALTER TABLE same.row ALTER id TYPE int, ALTER w TYPE text",
    "ALTER TABLE same.row DROP CONSTRAINT IF EXISTS positive, ADD CONSTRAINT positive CHECK (v >= 0)",
    "REINDEX TABLE same.row",
    "ANALYZE same.row",
    "CREATE TABLE same.other AS SELECT * FROM same.row",
    "DROP TABLE IF EXISTS same.other",
)
ALREADY_THERE = "42P07"
NO_SUCH_COLUMN = "42703"


@dataclass(frozen=True)
class Deed:
    """What became of one row: `v` is None for a deletion. Or a change of the schema."""

    key: int = -1
    v: int | None = None
    change: str = ""


def write(connection: Connection, deed: Deed) -> Deed:
    if deed.v is None:
        connection.execute("DELETE FROM same.row WHERE id = %s", (deed.key,))
    else:
        connection.execute(
            "INSERT INTO same.row (id, v) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
            (deed.key, deed.v),
        )
    return deed


def test_schema_changes(own_cluster: Cluster, seed: int, circumstances: Circumstances) -> None:
    writes: History[Deed] = History()
    changes: History[Deed] = History()
    with own_cluster.connect() as connection:
        connection.execute(SCHEMA)

    def write_row(number: int) -> object:
        """Every writer has keys of its own, so that the last of its deeds tells what a row must be."""

        def step(session: Session, chance: random.Random) -> None:
            key = chance.randrange(KEYS) * WRITERS + number
            deed = Deed(key, chance.randrange(1000) if chance.random() < 0.8 else None)
            for _ in range(100):
                attempt = session.attempt(lambda connection: write(connection, deed), deed)
                writes.add(attempt)
                if attempt.outcome is not Outcome.REJECTED:
                    break

        return step

    def change_schema(session: Session, chance: random.Random) -> None:
        deed = Deed(change=chance.choice(CHANGES))
        changes.add(session.attempt(lambda c: (c.execute(deed.change), deed)[1], deed))  # type: ignore[call-overload]

    workers = {f"writer {n}": write_row(n) for n in range(WRITERS)} | {f"changer {n}": change_schema for n in range(2)}
    with circumstances.around(own_cluster, writes):
        run_workers(own_cluster, STEPS, workers, seed)  # type: ignore[arg-type]

    assert_outcomes(writes, is_calm=circumstances.is_calm)
    assert_outcomes(changes, is_calm=circumstances.is_calm, also=frozenset({ALREADY_THERE, NO_SUCH_COLUMN}))
    states = [end_state(server) for server in servers_of(own_cluster)]
    assert states[0] == states[1], "the instances disagree about the schema or the rows"
    for instance in range(1, own_cluster.instances + 1):
        with own_cluster.connect(instance) as connection:
            judge(connection, writes)


def judge(connection: Connection, writes: History[Deed]) -> None:
    """Each row is what its writer was told last; an unknown outcome leaves two possibilities."""
    rows = dict(connection.execute("SELECT id, v FROM same.row").fetchall())
    possible: dict[int, set[int | None]] = {}
    for attempt in writes.attempts():
        if attempt.outcome is Outcome.COMMITTED:
            possible[attempt.work.key] = {attempt.work.v}
        elif attempt.outcome is Outcome.UNKNOWN:
            possible.setdefault(attempt.work.key, {None}).add(attempt.work.v)
    for key, values in possible.items():
        assert rows.get(key) in values, f"row {key} is {rows.get(key)}, but its writer was told {values}"
    assert rows.keys() <= possible.keys()
    for setting in ("enable_seqscan", "enable_indexscan"):
        with connection.transaction():
            connection.execute(f"SET LOCAL {setting} = off")  # type: ignore[arg-type]
            by_v = connection.execute("SELECT id, v FROM same.row WHERE v >= 0 ORDER BY v, id").fetchall()
            by_w = connection.execute("SELECT id, v FROM same.row WHERE w >= '' ORDER BY w, v, id").fetchall()
        assert dict(by_v) == rows, "an index of v disagrees with the table"
        assert dict(by_w) == rows, "an index of w disagrees with the table"

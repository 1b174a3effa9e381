"""Random scripts: tables, indexes, rows and transactions that a seed chooses, for comparison on two databases.

Promises: the same seed gives the same script, and a script's output is defined by SQL alone. So queries are ordered
totally, and statements that could violate a constraint for one of several rows, depending on the order in which rows
are visited, touch one row only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# Values of a small domain, so that keys collide, and of every corner of it.
VALUES = {
    "int": ["0", "1", "-1", "2", "3", "7", "2147483647", "-2147483648"],
    "bigint": ["0", "1", "-1", "5", "9223372036854775807", "-9223372036854775808"],
    "text": ["''", "'a'", "'A'", "'ab'", "'b'", "'a b'", "'ä'", "repeat('long', 99)"],
    "numeric": ["0", "1", "-1.5", "10000", "0.0001", "'NaN'", "1e20"],
    "float8": ["0", "1.5", "-1.5", "'Infinity'", "'NaN'", "1e-300"],
    "timestamptz": ["'2024-01-01'", "'2024-01-01 12:00+02'", "'infinity'", "'-infinity'"],
    "bool": ["true", "false"],
    "int[]": ["'{}'", "'{1}'", "'{1,2}'", "'{2}'", "'{1,null}'"],
    "varchar(8)": ["''", "'x'", "'xy'", "'y'", "'z z'"],
    "date": ["'2024-02-29'", "'1999-12-31'", "'infinity'"],
    "uuid": ["'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
}
WIDENED = {"int": "bigint", "bigint": "numeric", "varchar(8)": "text"}


@dataclass
class Table:
    name: str
    columns: dict[str, str]
    key: list[str]
    indexes: list[str] = field(default_factory=list)
    parent: str = ""

    def order(self) -> str:
        return ", ".join(f"{column} nulls first" for column in self.columns)


class Script:
    """Builds one script. State that a rollback takes back (tables, indexes) changes outside transactions only."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        # psql then sets a savepoint before each statement of a transaction, which goes on after errors.
        self._goes_on = self._often(0.7)
        self._lines = [f"-- seed {seed}", *self._session_start()]
        self._tables: list[Table] = []
        self._depth = 0
        self._indexes = 0

    def text(self, statements: int) -> str:
        for number in range(self._chance.randrange(1, 4)):
            self._create(f"t{number}")
        for _ in range(statements):
            self._step()
        if self._depth:
            self._say(self._pick(["commit", "rollback"]))
        for table in self._tables:
            self._say("set enable_seqscan = on; set enable_indexscan = off; set enable_bitmapscan = off")
            self._say(f"select * from {table.name} order by {table.order()}")
        return "\n".join(self._lines) + "\n"

    def _session_start(self) -> list[str]:
        return ["\\set ON_ERROR_ROLLBACK on"] if self._goes_on else []

    def _pick(self, choices: list[str]) -> str:
        return self._chance.choice(choices)

    def _often(self, share: float) -> bool:
        return self._chance.random() < share

    def _say(self, statement: str) -> None:
        self._lines.append(statement + ";")

    def _create(self, name: str) -> None:
        types = self._chance.sample(sorted(VALUES), self._chance.randrange(2, 6))
        columns = {f"c{number}": kind for number, kind in enumerate(types)}
        keys = self._chance.sample(sorted(columns), min(len(columns), self._chance.choice([0, 1, 1, 1, 2, 3])))
        parts = [f"{column} {kind}" for column, kind in columns.items()]
        table = Table(name, columns, keys)
        if keys:
            parts.append(f"primary key ({', '.join(keys)})")
        candidates = [other for other in self._tables if len(other.key) == 1]
        if candidates and self._often(0.6):
            parent = self._chance.choice(candidates)
            columns["ref"] = parent.columns[parent.key[0]]
            action = self._pick(["", " on delete cascade on update cascade", " on delete set null"])
            deferred = self._pick(["", " deferrable initially deferred"])
            parts.append(f"ref {columns['ref']} references {parent.name}{action}{deferred}")
        self._tables.append(table)
        self._say(f"create table {name} ({', '.join(parts)})")
        for _ in range(self._chance.randrange(3)):
            self._create_index(table)

    def _create_index(self, table: Table) -> None:
        columns = self._chance.sample(sorted(table.columns), self._chance.randrange(1, min(3, len(table.columns)) + 1))
        orders = [f"{c}{self._pick(['', ' desc', ' nulls first', ' desc nulls last'])}" for c in columns]
        where = f" where {self._pick(columns)} is not null" if self._often(0.2) else ""
        unique = "unique " if self._often(0.2) else ""
        self._indexes += 1
        name = f"i{self._indexes}"
        table.indexes.append(name)
        self._say(f"create {unique}index {name} on {table.name} ({', '.join(orders)}){where}")

    def _value(self, kind: str) -> str:
        return "null" if self._often(0.1) else self._pick(VALUES.get(kind, VALUES["text"])) + f"::{kind}"

    def _condition(self, table: Table) -> str:
        column = self._pick(sorted(table.columns))
        kind = table.columns[column]
        form = self._chance.randrange(5)
        if form == 0:
            return f"{column} is {self._pick(['', 'not '])}null"
        if form == 1:
            values = ", ".join(self._value(kind) for _ in range(3))
            return f"{column} in ({values})"
        if form == 2:
            return f"{column} between {self._value(kind)} and {self._value(kind)}"
        return f"{column} {self._pick(['=', '<', '<=', '>', '>=', '='])} {self._value(kind)}"

    def _one_row(self, table: Table) -> str:
        """A FROM and WHERE that single out one row: the first, in an order that SQL defines, of those that match."""
        first = f"select * from {table.name} where {self._condition(table)} order by {table.order()} limit 1"
        same = " and ".join(f"{table.name}.{c} is not distinct from f.{c}" for c in table.columns)
        if not table.key:  # there may be several equal rows; which of them it is does not show
            equal = " and ".join(f"x.{c} is not distinct from f.{c}" for c in table.columns)
            same += f" and {table.name}.ctid = (select min(x.ctid) from {table.name} x where {equal})"
        return f"from ({first}) f where {same}"

    def _step(self) -> None:
        table = self._chance.choice(self._tables)
        kind = self._chance.choices(
            ["insert", "update", "delete", "select", "transaction", "plan", "schema"], [8, 5, 2, 7, 4, 2, 1]
        )[0]
        getattr(self, f"_{kind}")(table)

    def _insert(self, table: Table) -> None:
        values = ", ".join(self._value(kind) for kind in table.columns.values())
        conflict = ""
        if table.key and self._often(0.5):
            rest = [column for column in table.columns if column not in table.key]
            changes = ", ".join(f"{column} = excluded.{column}" for column in rest)
            target = f"on conflict ({', '.join(table.key)}) do"
            conflict = f" {target} update set {changes}" if rest and self._often(0.7) else " on conflict do nothing"
        names = ", ".join(table.columns)
        self._say(f"insert into {table.name} ({names}) values ({values}){conflict} returning *")

    def _update(self, table: Table) -> None:
        column = self._pick(sorted(table.columns))
        self._say(f"update {table.name} set {column} = {self._value(table.columns[column])} {self._one_row(table)}")

    def _delete(self, table: Table) -> None:
        is_parent = any("ref" in other.columns for other in self._tables)
        if self._often(0.3) and not is_parent:
            self._say(f"delete from {table.name} where {self._condition(table)}")
        else:
            self._say(f"delete from {table.name} using {self._one_row(table).removeprefix('from ')}")

    def _select(self, table: Table) -> None:
        where = f"where {self._condition(table)}" + (f" and {self._condition(table)}" if self._often(0.4) else "")
        direction = self._pick(["", " desc"])
        order = ", ".join(f"{c}{direction}" for c in table.columns)
        form = self._chance.randrange(4)
        if form == 0:
            self._say(f"select count(*), count({self._pick(sorted(table.columns))}) from {table.name} {where}")
        elif form == 1:
            column = self._pick([c for c, kind in table.columns.items() if kind != "bool"] or ["null::int"])
            self._say(f"select min({column}::text), max({column}::text) from {table.name} {where}")
        elif form == 2:
            self._say(f"select * from {table.name} {where} order by {order} limit {self._chance.randrange(1, 6)}")
        else:
            lock = self._pick([" for update", " for share"])
            self._say(f"select * from (select * from {table.name} {where}{lock}) l order by {order}")

    def _transaction(self, table: Table) -> None:
        del table
        if not self._depth:
            self._say("begin")
            self._depth = 1
            return
        what = self._pick(["savepoint", "savepoint", "rollback to", "release", "commit", "commit", "rollback"])
        if what in ("commit", "rollback"):
            self._say(what)
            self._depth = 0
        elif what == "savepoint":
            self._depth += 1
            self._say(f"savepoint s{self._depth}")
        elif self._depth > 1:
            self._say(f"{what} {'savepoint ' if what == 'rollback to' else ''}s{self._depth}")
            self._depth -= what == "release"

    def _plan(self, table: Table) -> None:
        del table
        name = self._pick(
            ["enable_seqscan", "enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan", "enable_sort"]
        )
        self._say(f"set {name} = {self._pick(['on', 'off'])}")

    def _schema(self, table: Table) -> None:
        if self._depth:
            return
        form = self._chance.randrange(6)
        if form == 0:
            self._create_index(table)
        elif form == 1 and table.indexes:
            self._say(f"drop index if exists {table.indexes.pop()}")
        elif form == 2:
            name = f"n{len(table.columns)}"
            kind = self._pick(sorted(VALUES))
            table.columns[name] = kind
            self._say(f"alter table {table.name} add column {name} {kind} default {self._pick(VALUES[kind])}::{kind}")
        elif form == 3:
            # Not of keys: their index is made anew, and of two violated indexes the older one is reported.
            free = [c for c, kind in table.columns.items() if kind in WIDENED and c not in [*table.key, "ref"]]
            if free and not table.indexes:
                column = self._pick(free)
                table.columns[column] = WIDENED[table.columns[column]]
                self._say(f"alter table {table.name} alter {column} type {table.columns[column]}")
        elif form == 4 and table.key:
            self._say(f"reindex table {table.name}")
        else:
            self._lines += ["-- @next session", *self._session_start()]


def random_script(seed: int, statements: int = 150) -> str:
    return Script(seed).text(statements)

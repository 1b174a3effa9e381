"""Reading and changing rows of iam.sqlite, for the parts of the store that share its connection."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from borealis.foundation.identifiers import Timestamp
from borealis.iam.errors import NotFound
from borealis.iam.names import EntityKind
from borealis.iam.records import EntityRecord

Row = tuple[Any, ...]

ENTITY_COLUMNS: Final = (
    "entity.id, entity.account, entity.kind, entity.path, entity.name, entity.arn, entity.description, "
    "entity.created_at, entity.boundary, entity.trust_policy, entity.session_s_max"
)


class Rows:
    """One connection. Cursors are closed at once: an open one would hold its snapshot."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection: Final = connection

    def one(self, query: str, *parameters: object) -> Row | None:
        with closing(self.connection.execute(query, parameters)) as cursor:
            row: Row | None = cursor.fetchone()
        return row

    def all(self, query: str, *parameters: object) -> list[Row]:
        with closing(self.connection.execute(query, parameters)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one state of the store."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.execute("ROLLBACK")

    def execute(self, statement: str, *parameters: object) -> int:
        """How many rows it changed."""
        with closing(self.connection.execute(statement, parameters)) as cursor:
            return cursor.rowcount

    def change(self, statement: str, *parameters: object, what: str) -> None:
        """Raises NotFound when it changed nothing; `what` names what was meant."""
        if not self.execute(statement, *parameters):
            raise NotFound(f"there is no {what}")


def decode_entity(row: Row) -> EntityRecord:
    identifier, account, kind, path, name, arn, description, created_at, boundary, trust_policy, session_s_max = row
    return EntityRecord(
        identifier,
        account,
        EntityKind(kind),
        path,
        name,
        arn,
        description,
        Timestamp(created_at),
        boundary,
        trust_policy,
        session_s_max,
    )

"""Metadata files: SQLite with one writing process and any number of readers in others.

Owns how such a file is opened: write-ahead log, every commit on the disk before it returns, migrations numbered by
`user_version`. Promises that a file is of the newest version once it is open for writing, and that a reader learns of
a commit at its next look (`ChangeWatch`), without a message from anybody. Assumes a local file system, and that all the
processes run as the same account.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from borealis.foundation.errors import Unavailable

# How long a connection waits for another one's lock. The writer's transactions take milliseconds.
BUSY_S: Final = 5.0
_PERMISSIONS: Final = 0o600


def open_for_writing(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Create the file if there is none and bring it to version `len(migrations)`; the connection is in autocommit mode.

    Migration n (counted from 1) is an SQL script that takes a file of version n-1 to n, each in a transaction of its
    own. A migration that was released is never edited. Raises Unavailable for a file of a newer release."""
    # SQLite gives the files beside it the permissions of the main one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PERMISSIONS))
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, version: int) -> sqlite3.Connection:
    """A connection that cannot write. Raises Unavailable while the file does not exist or is not of this version."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", timeout=BUSY_S, isolation_level=None, uri=True
        )
        try:
            found = read_version(connection)
            if found != version:
                raise Unavailable(f"{path} has version {found}, not {version}")
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error
    return connection


def read_version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as cursor:
        version: int = cursor.fetchone()[0]
    return version


@contextmanager
def write_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside happens, durably, or nothing does."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back after some errors (a full disk)
            connection.execute("ROLLBACK")
        raise


class ChangeWatch:
    """Tells whether another connection has committed something since the last look. A look costs a few microseconds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen: int | None = None

    def has_changed(self) -> bool:
        """True at the first look. Look before you read: a commit in between is then noticed at the next look."""
        with closing(self._connection.execute("PRAGMA data_version")) as cursor:
            version: int = cursor.fetchone()[0]
        if version == self._seen:
            return False
        self._seen = version
        return True


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    while (version := read_version(connection)) < len(migrations):
        # Two processes may have come here at once: whoever is second finds the version taken.
        with write_transaction(connection):
            if read_version(connection) == version:
                for statement in _statements(migrations[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
    if version > len(migrations):
        raise Unavailable(f"{path} was written by a newer release of Borealis (version {version})")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: sqlite3's executescript would commit before it begins."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement:
        raise ValueError(f"a migration ends within a statement: {statement}")

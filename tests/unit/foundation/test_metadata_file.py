import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from borealis.foundation.errors import Unavailable
from borealis.foundation.metadata_file import (
    ChangeWatch,
    open_for_reading,
    open_for_writing,
    read_version,
    write_transaction,
)

FIRST = "CREATE TABLE item (name TEXT PRIMARY KEY); INSERT INTO item VALUES ('made; by the first');"
SECOND = """
ALTER TABLE item ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER grow AFTER INSERT ON item BEGIN
    UPDATE item SET size = size + 1;
END;
"""
BROKEN = "CREATE TABLE other (name TEXT); CREATE TABLE item (name TEXT);"


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM item ORDER BY name").fetchall()]


def test_a_file_is_made_private_and_migrated_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    with closing(open_for_writing(path, [FIRST])) as connection:
        assert read_version(connection) == 1
        assert {entry.name: entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()} == {
            "metadata.sqlite": 0o600,
            "metadata.sqlite-wal": 0o600,
            "metadata.sqlite-shm": 0o600,
        }
    with closing(open_for_writing(path, [FIRST, SECOND])) as connection:
        assert read_version(connection) == 2
        assert names(connection) == ["made; by the first"]
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        open_for_writing(path, [FIRST, BROKEN])
    with closing(open_for_reading(path, 1)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("item",)]


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    open_for_writing(path, [FIRST, SECOND]).close()
    with pytest.raises(Unavailable, match="newer release"):
        open_for_writing(path, [FIRST])
    with pytest.raises(Unavailable, match="version 2, not 1"):
        open_for_reading(path, 1)


def test_a_reader_needs_a_file_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "with space & ?.sqlite"
    with pytest.raises(Unavailable):
        open_for_reading(path, 1)
    assert not path.exists()
    open_for_writing(path, [FIRST]).close()
    with closing(open_for_reading(path, 1)) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM item")


def test_a_reader_notices_each_commit_of_another_process_once(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    with closing(open_for_writing(path, [FIRST])) as writer, closing(open_for_reading(path, 1)) as reader:
        watch = ChangeWatch(reader)
        assert watch.has_changed()
        assert not watch.has_changed()
        for name in ("a", "b"):
            with write_transaction(writer):
                writer.execute("INSERT INTO item VALUES (?)", (name,))
                assert not watch.has_changed()
            assert watch.has_changed()
            assert name in names(reader)
            assert not watch.has_changed()


def test_a_transaction_that_fails_is_undone(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "metadata.sqlite", [FIRST])) as connection:
        with pytest.raises(sqlite3.IntegrityError), write_transaction(connection):
            connection.executemany("INSERT INTO item VALUES (?)", [("twice",), ("twice",)])
        assert names(connection) == ["made; by the first"]


def test_what_was_committed_survives_a_killed_writer_and_what_was_not_does_not(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    program = f"""
import sys
from pathlib import Path
from borealis.foundation.metadata_file import open_for_writing, write_transaction
connection = open_for_writing(Path({str(path)!r}), [{FIRST!r}])
with write_transaction(connection):
    connection.execute("INSERT INTO item VALUES ('committed')")
with write_transaction(connection):
    connection.execute("INSERT INTO item VALUES ('lost')")
    print("here", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with closing(open_for_writing(path, [FIRST])) as connection:
        assert names(connection) == ["committed", "made; by the first"]

"""pg_dump reads all that a script left behind, here or in PostgreSQL, and psql restores it: it is the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sameness.corpus import HERE
from tests.sameness.script import Server, clean_up, end_state, run_script

SCRIPTS = [
    "alter_table_columns",
    "descriptions",
    "enums_domains_composites",
    "foreign_keys",
    "index_kinds",
    "partitions",
]


@pytest.mark.parametrize("name", [*SCRIPTS, "generated_columns", "triggers", "types_columns"])
def test_dump_restores_everything(name: str, instances: list[Server]) -> None:
    first, second = instances[0], instances[-1]
    run_script((HERE / "sql" / f"{name}.sql").read_text(), [first])
    before = end_state(first)
    assert "CREATE TABLE same." in before
    dump = second.run("pg_dump", "--schema=same", "--schema=same_*", "--no-comments")
    clean_up(first)
    assert second.psql("select count(*) from pg_namespace where nspname ~ '^same'", "-At") == "0\n"

    restored = first.psql(dump, "-v", "ON_ERROR_STOP=1")
    assert "ERROR" not in restored
    assert end_state(second) == before


def test_dump_of_several_jobs_is_restored(instances: list[Server], tmp_path: Path) -> None:
    """They share the snapshot of the first one."""
    first, second = instances[0], instances[-1]
    run_script((HERE / "sql" / "partitions.sql").read_text(), [first])
    before = end_state(first)
    dump = str(tmp_path / "dump")
    first.run("pg_dump", "--schema=same", "--format=directory", "--jobs=4", f"--file={dump}")
    clean_up(first)
    second.run("pg_restore", "--exit-on-error", f"--dbname={second.database}", dump)
    assert end_state(first) == before


@pytest.mark.parametrize("name", [*SCRIPTS, "materialized_views"])
def test_dump_of_postgres_is_restored(name: str, reference: Server, instances: list[Server]) -> None:
    first, second = instances[0], instances[-1]
    run_script((HERE / "sql" / f"{name}.sql").read_text(), [reference])
    dump = reference.run("pg_dump", "--schema=same", "--schema=same_*", "--no-comments")
    assert "default_table_access_method = heap" in dump
    clean_up(first)
    assert "ERROR" not in first.psql(dump, "-v", "ON_ERROR_STOP=1")
    assert end_state(second) == end_state(reference)

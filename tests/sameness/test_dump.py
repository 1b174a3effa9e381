"""pg_dump reads everything that a script left behind, and psql restores it: definitions and rows are the same again."""

from __future__ import annotations

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

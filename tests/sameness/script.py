"""Scripts of the sameness corpus: how one is run, and how its output is made comparable.

A script is a psql file. A line `-- @next session` ends one session; the next one is served by the other instance where
a database has two. Every session starts with `search_path = same`, a schema that is fresh for each script. A script may
make further schemas and roles as long as their names begin with `same_`.

Promises: the output of a script depends only on the script and on the database's behaviour. Only what may legally
differ between two servers is removed from it: source locations, process ids, numbers of temporary schemas and the name
of the table access method. A session that does not reach its end is an error, however equal the outputs are.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SESSION_BREAK = re.compile(r"^-- @next session *$", re.MULTILINE)
SESSION_TIMEOUT_S = 300

SETTINGS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "search_path": "same",
        "TimeZone": "UTC",
        "DateStyle": "ISO,MDY",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "client_min_messages": "notice",
        # The creator of a role may become it: what a superuser could do without.
        "createrole_self_grant": "set,inherit",
    }.items()
)

CLEAN_UP = r"""
select format('drop schema %I cascade', nspname) from pg_namespace where nspname ~ '^same(_|$)' order by nspname \gexec
select format('drop owned by %I cascade', rolname) from pg_roles where rolname ~ '^same_' order by rolname \gexec
select format('drop role %I', rolname) from pg_roles where rolname ~ '^same_' order by rolname \gexec
"""

TABLES_OF_SCRIPT = r"""
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname ~ '^same(_|$)' and c.relkind in ('r', 'p', 'm') order by n.nspname collate "C", c.relname collate "C"
"""


class SessionLostError(Exception):
    """A client program could not connect, or lost its connection: what it printed proves nothing."""


@dataclass(frozen=True)
class Server:
    """One Postgres to talk to, and the directory of the client programs to talk with."""

    programs: Path
    host: str
    port: int
    user: str
    database: str

    def run(self, program: str, *arguments: str, stdin: str = "") -> str:
        """Runs a client program; returns stdout and stderr as the program interleaved them.

        Raises:
            SessionLostError: the program says that it could not do its work.
        """
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.database,
            "PGOPTIONS": SETTINGS,
            "PGCLIENTENCODING": "UTF8",
            "PGTZ": "UTC",
        }
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=SESSION_TIMEOUT_S,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise SessionLostError(f"{program} ended with status {done.returncode}:\n{output[-2000:]}")
        return output

    def psql(self, text: str, *arguments: str) -> str:
        return self.run("psql", "-X", "-q", "-v", "VERBOSITY=verbose", *arguments, stdin=text)


def sessions_of(script: str) -> list[str]:
    """The texts of a script's sessions, in order."""
    return SESSION_BREAK.split(script)


def clean_up(instance: Server) -> None:
    """Drops whatever scripts have left behind."""
    instance.psql("set client_min_messages = error;" + CLEAN_UP, "-v", "ON_ERROR_STOP=1")


def run_script(script: str, instances: Sequence[Server]) -> str:
    """Runs each session on the next instance in turn; returns the whole normalised transcript."""
    clean_up(instances[0])
    instances[0].psql("create schema same;", "-v", "ON_ERROR_STOP=1")
    outputs = [instances[number % len(instances)].psql(text, "-a") for number, text in enumerate(sessions_of(script))]
    return normalised("\n-- @next session\n".join(outputs))


def end_state(instance: Server) -> str:
    """What a script left behind as one instance sees it: every definition, and every row in a fixed order."""
    definitions = instance.run("pg_dump", "--schema-only", "--no-comments", "--schema=same", "--schema=same_*")
    tables = instance.psql(TABLES_OF_SCRIPT, "-At").split("\n")
    contents = [
        f"== {table}\n"
        + instance.psql(f'copy (select t::text from {table} t order by t::text collate "C") to stdout;', "-At")
        for table in tables
        if table
    ]
    return normalised(definitions + "".join(contents))


NORMALISATIONS = (
    (re.compile(r"^LOCATION: .*\n", re.MULTILINE), ""),
    (re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE), ""),
    (re.compile(r"^SET default_table_access_method = \w+;\n", re.MULTILINE), ""),
    (re.compile(r"^-- (?:Name|Dumped|Started|Completed).*\n", re.MULTILINE), ""),
    (re.compile(r"server process \(PID \d+\)"), "server process (PID n)"),
    (re.compile(r"\bpg_temp_\d+\b"), "pg_temp_n"),
)


def normalised(output: str) -> str:
    for pattern, replacement in NORMALISATIONS:
        output = pattern.sub(replacement, output)
    return output

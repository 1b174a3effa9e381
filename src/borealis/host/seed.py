"""The seed: a small PGDATA with the extension installed, made once, from which instances are cloned.

Promises: DATA/seed is complete and on disk, or absent; its file `borealis-seed` names the server tree and the recipe
that it was made with, and clones carry it along. Assumes that the account of the host is assumed.
"""

import hashlib
import shutil
from pathlib import Path
from signal import SIGTERM
from subprocess import PIPE, STDOUT

from borealis.host.account import Account, as_root
from borealis.host.errors import HostError
from borealis.host.launch import Tether, start_program
from borealis.host.postgres_settings import ADMIN, DATABASE, SUPERUSER, render_seed_conf
from borealis.host.server_tree import ServerTree

FINGERPRINT_FILE = "borealis-seed"

# Statements end with an empty line for the single-user server. This comes between the extension's own SQL and that of
# the schema `sys`: what the journals of existing clusters name by OID must keep it.
SQL_OF_ROLES = f"""
CREATE ROLE {ADMIN} LOGIN CREATEROLE;

ALTER DATABASE {DATABASE} OWNER TO {ADMIN};
"""

# There is one database; the templates would be most of the bytes to clone.
SQL_TO_SHRINK = """
UPDATE pg_database SET datistemplate = false WHERE datname IN ('template0', 'template1');

DROP DATABASE template0;

DROP DATABASE template1;

VACUUM FULL;

VACUUM FREEZE;

CHECKPOINT;
"""

INITDB_OPTIONS = (
    "--wal-segsize=1",
    "--encoding=UTF8",
    "--locale=C",
    "--auth=trust",
    "--no-sync",
    "--no-instructions",
    f"--username={SUPERUSER}",
)


def seed_fingerprint(tree: ServerTree) -> str:
    recipe = hashlib.sha256(repr((SQL_OF_ROLES, SQL_TO_SHRINK, INITDB_OPTIONS)).encode()).hexdigest()
    return f"{tree.fingerprint()} {recipe}\n"


def read_fingerprint(pgdata: Path) -> str | None:
    try:
        return (pgdata / FINGERPRINT_FILE).read_text()
    except FileNotFoundError:
        return None


def ensure_seed(tree: ServerTree, seed: Path, account: Account | None) -> str:
    """Makes the seed unless it is there and current. Returns its fingerprint."""
    fingerprint = seed_fingerprint(tree)
    if read_fingerprint(seed) == fingerprint:
        return fingerprint
    draft = seed.with_name("seed.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(seed, ignore_errors=True)

    def run(what: str, *command: str | Path, text: str = "") -> None:
        tether = Tether(SIGTERM)
        with as_root(account):
            process = start_program(command, account, stdin=PIPE, stdout=PIPE, stderr=STDOUT, tether=tether)
        output, _ = process.communicate(text.encode())
        tether.release()
        if process.returncode:
            report = output.decode(errors="replace").strip()
            raise HostError(
                f"cannot prepare the database template: {what} failed (status {process.returncode}):\n{report}"
            )

    run("initdb", tree.program("initdb"), *INITDB_OPTIONS, "-D", draft)
    (draft / "postgresql.conf").write_text(render_seed_conf(tree.extension))
    single = (tree.program("postgres"), "--single", "-F", "-j", "-D", draft, "-c", "exit_on_error=true", DATABASE)
    run("the extension's SQL", *single, text=as_one_query(tree.sql.read_text()))
    run("the SQL of the roles", *single, text=SQL_OF_ROLES)
    run("the SQL of the schema sys", *single, text=as_one_query(tree.sys_sql.read_text()))
    run("shrinking", *single, text=SQL_TO_SHRINK)
    (draft / FINGERPRINT_FILE).write_text(fingerprint)
    # Instances run without fsync and are thrown away after a crash of the machine; what they are cloned from is not.
    run("initdb --sync-only", tree.program("initdb"), "--sync-only", "-D", draft)
    draft.rename(seed)
    return fingerprint


def as_one_query(sql: str) -> str:
    """The single-user server takes a semicolon and an empty line for the end of a query: leave none inside."""
    return "\n".join(line for line in sql.splitlines() if line.strip()) + "\n\n"

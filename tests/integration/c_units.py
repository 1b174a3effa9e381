"""A plain PostgreSQL server with borealis_units: the write set and the storage reader behind SQL functions.

Owns the server process and its folder for one test module. The library is built when it is out of date; it needs none
of the services, which postgres_extension/tests/units_shim.c stands in for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.integration.library_server import NOBODY, ROOT, Connection, run_unprivileged, server_program

UNITS = ROOT / "postgres_extension" / "tests"


def build_units() -> Path:
    """Builds the library with assertions on; gives its folder."""
    subprocess.run(["make", "--quiet", "-C", UNITS, f"PYTHON={sys.executable}"], check=True)
    return ROOT / ".build" / "units-assert"


@contextmanager
def unprivileged_folder(prefix: str) -> Iterator[Path]:
    """A folder that the server's account owns (pytest's own can only be entered by its owner)."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def units_server(library: Path) -> Iterator[Path]:
    """Runs the server with the library in that folder; gives the folder of its Unix socket."""
    with unprivileged_folder("borealis-units-") as folder:
        data = folder / "data"
        settings = f"""
            listen_addresses = ''
            unix_socket_directories = '{folder}'
            fsync = off
            dynamic_library_path = '$libdir:{library}'
            """
        options = ("-U", "postgres", "--locale=C", "--encoding=UTF8", "--auth=trust", "--no-sync", "-D", data)
        run_unprivileged(server_program("initdb"), *options, cwd=folder)
        with (data / "postgresql.conf").open("a") as file:
            file.write(settings)
        run_unprivileged(server_program("pg_ctl"), "-D", data, "-w", "-l", folder / "log", "start", cwd=folder)
        try:
            with connect(folder) as connection:
                connection.execute((UNITS / "units.sql").read_bytes())
            yield folder
        finally:
            run_unprivileged(server_program("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop", cwd=folder)


def connect(folder: Path) -> Connection:
    return psycopg.connect(host=str(folder), dbname="postgres", user="postgres", autocommit=True)

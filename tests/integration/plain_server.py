"""A plain PostgreSQL server that finds our libraries, without a cluster: for tests of the C code by itself.

Owns the server process and its folder. Assumes that the server's account can reach the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from borealis.host.account import NOBODY
from borealis.host.postgres_settings import render
from borealis.host.server_tree import find_postgres
from tests.cluster import Connection

CHECKOUT = Path(__file__).resolve().parents[2]
EXTENSION_SOURCES = CHECKOUT / "postgres_extension"


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
def plain_server(libraries: Path, **settings: object) -> Iterator[Path]:
    """Runs a server that loads libraries from the folder; gives the folder of its Unix socket."""
    with unprivileged_folder("borealis-plain-") as folder:
        data = folder / "data"
        options = ("-U", "postgres", "--locale=C", "--encoding=UTF8", "--auth=trust", "--no-sync", "-D", data)
        _run(folder, "initdb", *options)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "fsync": "off",
            "timezone": "UTC",
            "dynamic_library_path": f"$libdir:{libraries}",
            **settings,
        }
        with (data / "postgresql.conf").open("a") as file:
            file.write(render(settings))
        _run(folder, "pg_ctl", "-D", data, "-w", "-l", folder / "log", "start")
        try:
            yield folder
        finally:
            _run(folder, "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def connect(server: Path) -> Connection:
    """As the superuser."""
    return psycopg.connect(host=str(server), dbname="postgres", user="postgres", autocommit=True)


def _run(folder: Path, program: str, *arguments: object) -> None:
    """PostgreSQL refuses to run as root."""
    command = [str(part) for part in (find_postgres() / "bin" / program, *arguments)]
    account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    result = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **account)  # type: ignore[call-overload]
    assert result.returncode == 0, result.stderr.decode()

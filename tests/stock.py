"""Stock PostgreSQL 16, from the same wheel, without our library: what sameness is measured against.

The settings that a client can see are those of an instance.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from borealis.host.account import NOBODY
from borealis.host.postgres_settings import ADMIN, DATABASE, DISPOSABLE, SERVED, SUPERUSER, render
from borealis.host.seed import INITDB_OPTIONS
from borealis.host.server_tree import find_postgres
from tests.cluster import Connection, free_ports

START_S = 60


class StockServer:
    """`settings` overrides what postgresql.conf says."""

    def __init__(self, **settings: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="borealis-stock-"))
        self.port = free_ports(1)
        self._data = self.folder / "data"
        self._programs = find_postgres() / "bin"
        self._settings = settings
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)

    def start(self) -> None:
        if not self._data.exists():
            self._create()
        self._run("pg_ctl", "-D", self._data, "-w", "-t", START_S, "-l", self.folder / "log", "start")

    def _create(self) -> None:

        self._run("initdb", *INITDB_OPTIONS, "-D", self._data)
        settings = {
            **DISPOSABLE,
            **SERVED,
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "autovacuum": "off",
            **self._settings,
        }
        (self._data / "postgresql.conf").write_text(render(settings))
        setup = f"CREATE ROLE {ADMIN} LOGIN CREATEROLE;\n\nALTER DATABASE {DATABASE} OWNER TO {ADMIN};\n\n"
        self._run("postgres", "--single", "-j", "-D", self._data, DATABASE, text=setup)

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def close(self) -> None:
        try:
            process_id = int((self._data / "postmaster.pid").read_text().split()[0])
        except FileNotFoundError:
            pass
        else:
            os.kill(process_id, signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, *, autocommit: bool = True, **options: object) -> Connection:
        return psycopg.connect(self.dsn(), autocommit=autocommit, **options)  # type: ignore[arg-type]

    def connect_superuser(self, *, autocommit: bool = True) -> Connection:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=SUPERUSER, dbname=DATABASE, autocommit=autocommit
        )

    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user={ADMIN} dbname={DATABASE}"

    def _run(self, program: str, *arguments: object, text: str = "") -> None:
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        # A file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                [str(self._programs / program), *map(str, arguments)],
                input=text.encode(),
                stdout=output,
                stderr=output,
                cwd=self.folder,
                **identity,  # type: ignore[call-overload]
            )
            output.seek(0)
            assert result.returncode == 0, output.read().decode(errors="replace")

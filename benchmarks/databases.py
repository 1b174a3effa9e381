"""The two databases that are compared: stock Postgres of the pinned wheel, and Borealis as `borealis up` runs it.

Both lie on the same disk, both make every commit durable (fsync on), both are reached over loopback TCP by the wheel's
own client programs. Stock Postgres has its default configuration except for a reasonable shared_buffers.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from borealis.host.account import NOBODY
from borealis.host.server_tree import find_postgres

PROGRAMS = find_postgres() / "bin"
SHARED_BUFFERS = "512MB"
START_S = 120
STOP_S = 60
PORTS = range(30_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on, below what the system hands out to clients."""
    while True:
        port = random.randrange(PORTS.start, PORTS.stop)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


class Database(ABC):
    """A running server with a database to measure in."""

    name: str
    port: int
    user = "admin"

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def process_id(self) -> int:
        """The process from which all others descend."""

    def run(self, program: str, *arguments: str, settings: str = "") -> str:
        """Runs one of the wheel's client programs; returns what it printed.

        Raises:
            RuntimeError: the program reports failure; the text tells which and why.
        """
        environment = {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": "postgres",
            "PGOPTIONS": settings,
        }
        command = [str(PROGRAMS / program), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout + done.stderr

    def psql(self, *commands: str, settings: str = "") -> str:
        arguments = [argument for command in commands for argument in ("-c", command)]
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *arguments, settings=settings)


class StockPostgres(Database):
    name = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._data = folder / "stock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Postgres refuses to run as root.
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._data.mkdir()
        if identity:
            os.chown(self._data, NOBODY, NOBODY)
        initdb = [
            PROGRAMS / "initdb",
            "-D",
            self._data,
            "-U",
            self.user,
            "--locale=C",
            "--encoding=UTF8",
            "-A",
            "trust",
        ]
        quiet = subprocess.DEVNULL
        subprocess.run(initdb, check=True, stdout=quiet, cwd=self._data, **identity)  # type: ignore[call-overload]
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"\nport = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n")
            file.write(f"shared_buffers = {SHARED_BUFFERS}\nfsync = on\n")
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            [PROGRAMS / "postgres", "-D", self._data], stdout=quiet, stderr=quiet, cwd=self._data, **identity
        )
        wait = ["-h", "127.0.0.1", "-p", str(self.port), "-q"]
        for _ in range(START_S * 10):
            if subprocess.run([PROGRAMS / "pg_isready", *wait, "-t", "1"], check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
        raise RuntimeError("stock Postgres did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_S)

    def process_id(self) -> int:
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


class Borealis(Database):
    name = "Borealis"

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.data = folder / "borealis"
        self._options = options or ("--spares", "0")
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "borealis.cli", "up", "--data", str(self.data), *self._options),
            *("--port", str(free_port()), "--api-port", str(free_port()), "--direct-port", str(self.port)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready in "):
                return
        raise RuntimeError("Borealis did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_S)

    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

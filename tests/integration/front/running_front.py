"""A front as the host runs it: a process on an instance of a test cluster, and an entrance that hands clients to it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from borealis.host.account import NOBODY
from tests.certificates import Authority
from tests.cluster import Cluster, Connection
from tests.integration.front.entrance import CLUSTER, Entrance

START_S = 30
STOP_S = 30
FRONT_ID = 7


@dataclass(frozen=True)
class PostgresSocket:
    folder: Path
    port: int


def find_postgres_socket(cluster: Cluster, instance: int = 1) -> PostgresSocket:
    folder = cluster.directory.instance(instance).socket
    (path,) = (path for path in folder.glob(".s.PGSQL.*") if not path.name.endswith(".lock"))
    return PostgresSocket(folder, int(path.name.rpartition(".")[2]))


class RunningFront:
    """`settings` are those of FrontSettings; fronts with the same `places` are of one cluster."""

    def __init__(self, postgres: PostgresSocket, places: Path | None = None, number: int = 1, **settings: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="borealis-front-"))
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self.socket = self.folder / "front.sock"
        certificate = Authority(self.folder).issue("localhost")
        self._postgres = postgres
        self.places = places or self.folder / "places.page"
        self._number = number
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._expected = 0
        self._said_more = threading.Condition()
        self.start()
        self.entrance = Entrance(self.socket, certificate.chain, certificate.key)

    def start(self) -> None:
        """Returns when it takes sessions."""
        command = [
            *(sys.executable, "-m", "borealis.front", f"--listen={self.socket}", f"--front-id={FRONT_ID}"),
            *(f"--postgres={self._postgres.folder}", f"--port={self._postgres.port}", f"--cluster={CLUSTER}"),
            *(f"--places={self.places}", f"--number={self._number}"),
            f"--transactions={self._postgres.folder.parent / 'transactions.page'}",
        ]
        for name, value in self._settings.items():
            command += ["--set", f"{name}={value}"]
        if os.geteuid() == 0:
            command += [f"--uid={NOBODY}", f"--gid={NOBODY}"]
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self._process = process
        self._said.clear()
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        self.wait_said("ready")

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._said_more:
                    self._said.append(line.rstrip("\n"))
                    self._said_more.notify_all()

    def wait_said(self, line: str) -> None:
        with self._said_more:
            assert self._said_more.wait_for(lambda: line in self._said, START_S), self.describe()

    def describe(self) -> str:
        return f"said {self._said}, log:\n{(self.folder / 'log').read_text()}"

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait_ended(self) -> int:
        assert self._process is not None
        return self._process.wait(STOP_S)

    def expect_problem(self, text: str) -> None:
        """Exactly one has been logged, this one."""
        (line,) = self.problems()
        assert text in line
        self._expected += 1

    def problems(self) -> list[str]:
        """Those that were not expected."""
        return re.findall(r".*(?:ERROR|CRITICAL|Traceback).*", (self.folder / "log").read_text())[self._expected :]

    def close(self) -> None:
        self.entrance.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, user: str = "admin", *, autocommit: bool = True, **options: object) -> Connection:
        return psycopg.connect(self.entrance.dsn(user), autocommit=autocommit, **options)  # type: ignore[arg-type]


StartFront = Callable[..., RunningFront]

"""A cluster in a box: `borealis up` as a user runs it, on a data directory and ports of its own.

Owns the command's process and its folder. Promises that nothing is left running or on disk after `close`, and that
waiting means waiting for an event that the host tells, never for time. Assumes that `make build` has run.
"""

from __future__ import annotations

import atexit
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psycopg

from borealis.host.layout import ClusterDirectory, open_layout
from borealis.host.report import HostReport, read_report
from borealis.host.server_tree import EXTENSION_VARIABLE

Connection = psycopg.Connection[tuple[object, ...]]

COMMAND = (sys.executable, "-m", "borealis.cli")

# Bounds on waiting for an event; reaching one fails the test, so they only say when to give up.
START_S = 60.0
EVENT_S = 60.0
STOP_S = 60.0

# Below what operating systems hand out to clients.
PORTS_FIRST = 20_000
WORKER_PORTS = 2_000
WORKERS_MAX = 5

# What is wrong in a log, unless a test declares it. PostgreSQL's lines have time, process, SQLSTATE and level.
SERVICE_PROBLEM = re.compile(r"\b(ERROR|CRITICAL)\b|Traceback \(most recent call last\)|Sanitizer")
SERVER_PROBLEM = re.compile(
    r" XX\d\d\d (ERROR|FATAL):|(PANIC|TRAP):|Sanitizer|was terminated by (signal|exception)|server process .* exited"
)


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that nobody uses.

    Random, so that parallel runs rarely meet; the workers of one run never do.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS_MAX
    start = PORTS_FIRST + worker * WORKER_PORTS
    while True:
        first = random.randrange(start, start + WORKER_PORTS - count)
        if all(_is_free(first + offset) for offset in range(count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class SeedCache:
    """The seed of the first cluster, for those that follow: making one takes longer than the rest of a start."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def give(self, data: Path) -> None:
        """Call before the first start. The host checks whether the seed is still the right one."""
        if self._folder is not None:
            data.mkdir(mode=0o700)
            owner = (self._folder / "seed").stat()
            os.chown(data, owner.st_uid, owner.st_gid)
            self._copy(self._folder / "seed", data / "seed")

    def take(self, data: Path) -> None:
        """Call when the cluster is ready."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="borealis-seed-"))
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            self._copy(data / "seed", self._folder / "seed")

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)


SEED_CACHE = SeedCache()


class Log:
    """A log file, read from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(content)
        return content.decode(errors="replace").splitlines()

    def problems(self) -> list[str]:
        pattern = SERVER_PROBLEM if self._path.stem.startswith("instance-") else SERVICE_PROBLEM
        return [f"{self._path.name}: {line}" for line in self.new_lines() if pattern.search(line)]


class Cluster:
    """Use `start_cluster` or the fixtures; `start` and `stop` may follow each other as often as a test likes."""

    def __init__(
        self,
        instances: int = 2,
        options: tuple[str, ...] = (),
        extension: Path | None = None,
        command: tuple[str, ...] = COMMAND,
        folder: Path | None = None,
    ) -> None:
        """`extension` is the folder of another build of the extension than the installed one, `command` another
        installation, or another way to call it; in `folder`."""
        # Not pytest's own folder: only its owner can enter that, and PostgreSQL does not run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="borealis-test-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.instances = instances
        # The front door's, the API's, and those of the instances, which tests reach without TLS.
        self.door_port = free_ports(instances + 2)
        self.api_port = self.door_port + 1
        self.port = self.door_port + 2
        self.ports = (
            *("--port", str(self.door_port), "--api-port", str(self.api_port)),
            *("--direct-port", str(self.port)),
        )
        self._options = options
        self._extension = extension
        self._command = command
        self._has_usual_seed = extension is None and command == COMMAND
        self._working_folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._told: list[str] = []
        self._told_more = threading.Condition()
        self._readers: list[threading.Thread] = []
        self._logs: dict[Path, Log] = {}
        self._expected: list[re.Pattern[str]] = []

    # The host

    def start(self) -> None:
        """Returns when every instance takes connections."""
        command = [
            *(*self._command, "up", "--data", str(self.data)),
            *self.ports,
            *("--instances", str(self.instances), "--spares", "0", *self._options),
        ]
        if not self.data.exists() and self._has_usual_seed:
            SEED_CACHE.give(self.data)
        mark = self.mark()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
            cwd=self._working_folder,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._readers = [
            threading.Thread(target=self._listen, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        self.wait_told(r"^ready in ", mark, START_S)
        if self._has_usual_seed:
            SEED_CACHE.take(self.data)

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        # A sanitizer's library, for the cluster's processes and not for ours.
        if preload := os.environ.get("BOREALIS_TEST_PRELOAD"):
            environment["LD_PRELOAD"] = preload
        if self._extension is not None:
            environment[EXTENSION_VARIABLE] = str(self._extension)
        return environment

    def stop(self) -> None:
        """As Ctrl-C does; everything must end in order."""
        self._end(signal.SIGINT)
        assert self.returncode == 0, self.describe(f"the host ended with status {self.returncode}")

    def kill_host(self) -> None:
        """The host alone is killed; what it started must follow it. Returns when the host is gone."""
        self._end(signal.SIGKILL)

    def kill(self, name: str) -> None:
        """kill -9 of one process of the first cluster (transactions, storage, instance-N, front-N) or of the host's
        services. Returns when it is running again."""
        mark = self.mark()
        self.kill_only(name)
        self.wait_back(name, mark)

    def wait_back(self, name: str, mark: int = 0) -> None:
        """Returns when a process that was gone is ready again."""
        self.wait_told(rf"^\S+ (\S+/)?{re.escape(name)} is back$", mark)

    def kill_only(self, name: str) -> None:
        os.kill(self.process_id(name), signal.SIGKILL)

    def process_id(self, name: str) -> int:
        report = self.report()
        found = next(
            process.process_id
            for process in report.processes
            if process.name == name and process.cluster in (None, report.first_cluster)
        )
        assert found is not None, self.describe(f"{name} does not run")
        return found

    def report(self) -> HostReport:
        report = read_report(open_layout(self.data))
        assert report is not None, self.describe("the host does not run")
        return report

    @property
    def directory(self) -> ClusterDirectory:
        """Files of the first cluster."""
        data = open_layout(self.data)
        first = data.first_cluster()
        assert first is not None
        return data.cluster(first)

    def log_files(self) -> list[Path]:
        return sorted(path for pattern in ("log/*.log", "clusters/*/log/*.log") for path in self.data.glob(pattern))

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    def close(self) -> None:
        """Ends everything, whatever state it is in, and removes the data unless BOREALIS_KEEP is set."""
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGINT)
        if not os.environ.get("BOREALIS_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        assert process is not None
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(self.describe("the host did not stop")) from None
        for reader in self._readers:
            reader.join(STOP_S)

    # What the host says

    def mark(self) -> int:
        """How much it has said so far: for `wait_told`, taken before the cause of what is waited for."""
        with self._told_more:
            return len(self._told)

    def wait_told(self, pattern: str, mark: int = 0, timeout_s: float = EVENT_S) -> str:
        """The first line after the mark that matches, once the host has said it."""
        found: list[str] = []

        def is_told() -> bool:
            found[:] = [line for line in self._told[mark:] if re.search(pattern, line)]
            return bool(found) or self._is_silent()

        with self._told_more:
            self._told_more.wait_for(is_told, timeout_s)
        assert found, self.describe(f"the host has not said {pattern!r}")
        return found[0]

    def _is_silent(self) -> bool:
        return not any(reader.is_alive() for reader in self._readers)

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._told_more:
                    self._told.append(line.rstrip("\n"))
                    self._told_more.notify_all()
        with self._told_more:
            self._told_more.notify_all()

    # Clients

    def connect(self, instance: int = 1, *, autocommit: bool = True, **options: object) -> Connection:
        """As `admin` over TCP, as clients do."""
        return psycopg.connect(self.dsn(instance), autocommit=autocommit, **options)  # type: ignore[arg-type]

    def dsn(self, instance: int = 1) -> str:
        return f"host=127.0.0.1 port={self.port + instance - 1} user=admin dbname=postgres connect_timeout=30"

    def connect_superuser(self, instance: int = 1, *, autocommit: bool = True) -> Connection:
        """Over the Unix socket, the superuser's only way in."""
        folder = self.directory.instance(instance).socket
        return psycopg.connect(
            host=str(folder), port=self.port + instance - 1, user="borealis", dbname="postgres", autocommit=autocommit
        )

    # Logs

    def expect_log(self, pattern: str) -> None:
        """Declares a problem that this test causes on purpose; holds until the next `problems`."""
        self._expected.append(re.compile(pattern))

    def problems(self) -> list[str]:
        """What went wrong, by the logs, since the last call."""
        for path in self.log_files():
            self._logs.setdefault(path, Log(path))
        expected, self._expected = self._expected, []
        found = [problem for log in self._logs.values() for problem in log.problems()]
        return [problem for problem in found if not any(pattern.search(problem) for pattern in expected)]

    def describe(self, problem: str, lines_max: int = 20) -> str:
        """A problem with what is needed to understand it."""
        parts = [problem, "--- host", *self._told[-lines_max:]]
        for path in self.log_files():
            parts += [f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-lines_max:]]
        return "\n".join(parts)


StartCluster = Callable[..., Cluster]

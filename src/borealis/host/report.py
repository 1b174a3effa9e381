"""What runs on a data directory: written by its host, read by the commands that look at it.

The file is replaced as a whole at each change, and removed when the host ends in order. After a killed host it lies
about processes that are gone: `read_report` asks the lock, which cannot lie.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from borealis.host.layout import DataDirectory
from borealis.host.lock import is_locked


@dataclass(frozen=True)
class ProcessReport:
    """`name` is the process's role; `cluster` is None for what serves all of them. `process_id` is None while the
    process is not running, `port` for processes without one."""

    name: str
    cluster: str | None
    process_id: int | None
    port: int | None
    is_ready: bool
    restarts: int
    log: str


@dataclass(frozen=True)
class ShownCertificate:
    """What clients see: `authority` is a PEM file to verify it with, `api_host` a name under which they accept the API.
    `problem`: why clients that trust what this machine and `authority` do will not accept it; None if they will."""

    authority: Path
    api_host: str
    problem: str | None


@dataclass(frozen=True)
class HostReport:
    """`first_cluster` is the one that commands mean when they are not told which."""

    process_id: int
    first_cluster: str | None
    # What clients are told: where the front door and the API are.
    listen: str
    port: int
    api_port: int
    region: str
    domain: str
    # Of the certificate that both show, as in `ShownCertificate`.
    authority: str
    api_host: str
    processes: tuple[ProcessReport, ...]

    def of(self, cluster: str | None) -> tuple[ProcessReport, ...]:
        return tuple(process for process in self.processes if process.cluster == cluster)


def write_report(path: Path, report: HostReport) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(report)))
    draft.replace(path)


def read_report(directory: DataDirectory) -> HostReport | None:
    """None when nothing runs."""
    if not is_locked(directory.root):
        return None
    try:
        fields = json.loads(directory.processes.read_text())
    except FileNotFoundError:
        return None
    processes = tuple(ProcessReport(**process) for process in fields.pop("processes"))
    return HostReport(**fields, processes=processes)

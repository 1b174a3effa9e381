"""What runs on a data directory: written by its host, read by the commands that look at it.

The file is replaced as a whole at each change, and removed when the host ends in order. After a killed host it lies
about processes that are gone: `read_report` asks the lock, which cannot lie.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from borealis.host.layout import DataDirectory, is_locked


@dataclass(frozen=True)
class ProcessReport:
    """`process_id` is None while the process is not running, `port` for processes without one."""

    name: str
    process_id: int | None
    port: int | None
    is_ready: bool
    restarts: int
    log: str


@dataclass(frozen=True)
class HostReport:
    process_id: int
    processes: tuple[ProcessReport, ...]

    def instance_port(self, number: int) -> int | None:
        return next((p.port for p in self.processes if p.name == f"instance-{number}"), None)


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
    return HostReport(fields["process_id"], tuple(ProcessReport(**process) for process in fields["processes"]))

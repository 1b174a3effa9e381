"""kill -9 of whole trees of processes, as a power cut or an out-of-memory killer would."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.cluster import Cluster


def children_by_parent() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                # After the command's name, which may hold spaces and parentheses: state, then parent.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    return children


def descendants(process_id: int) -> list[int]:
    """All processes below one, parents first."""
    children = children_by_parent()
    found: list[int] = []
    level = [process_id]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def kill_everything(cluster: Cluster) -> None:
    """kill -9 of the host and of every process below it, at once; returns when the host is gone."""
    host = cluster.report().process_id
    os.kill(host, signal.SIGSTOP)  # it must not start anything again in between
    for process_id in descendants(host):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    cluster.kill_host()

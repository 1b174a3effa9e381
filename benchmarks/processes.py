"""All processes of a database together, as the kernel counts them: memory in use, and whether they are at rest.

Memory is proportional: pages that processes share are divided by their users.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def tree(process_id: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                # After the command's name, which may hold spaces and parentheses: state, then parent.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [process_id]
    for member in found:
        found += children.get(member, [])
    return found


def proportional_kib(process_id: int) -> int:
    """PSS. Needs the right to look into the process."""
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"no Pss for process {process_id}")


def held_bytes(process_id: int) -> Counter[str]:
    """What a tree of processes holds, by their names, without pages of files: those of the storage map come and go with
    its readers."""
    held: Counter[str] = Counter()
    for member in tree(process_id):
        with suppress(OSError):
            name = Path(f"/proc/{member}/comm").read_text().strip()
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    held[name] += int(line.split()[1]) * 1024
    return held


def idle_memory(process_id: int) -> dict[str, float]:
    """MiB of each process, by its name and its command's beginning."""
    used: dict[str, float] = {}
    for member in tree(process_id):
        with suppress(OSError):
            command = Path(f"/proc/{member}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            name = Path(f"/proc/{member}/comm").read_text().strip()
            used[f"{member} {name:15} {command[:60].strip()}"] = proportional_kib(member) / 1024
    return used


# At rest: all processes together take less than this share of a core, over an interval.
REST_SHARE = 0.08
REST_INTERVAL_S = 0.5
REST_WAIT_S = 60.0


def processor_seconds(process_id: int) -> float:
    """What a tree of processes has used so far, ended children included."""
    ticks = 0
    for member in tree(process_id):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_for_rest(process_ids: Iterable[int]) -> None:
    """Waits until no database works in the background any more: none may disturb the next measurement."""
    roots = list(process_ids)
    for _ in range(round(REST_WAIT_S / REST_INTERVAL_S)):
        before = [processor_seconds(root) for root in roots]
        time.sleep(REST_INTERVAL_S)
        used = [processor_seconds(root) - start for root, start in zip(roots, before, strict=True)]
        if max(used) < REST_SHARE * REST_INTERVAL_S:
            return

"""Memory of all processes of a database together, as the kernel counts it: shared pages are divided by their users."""

from __future__ import annotations

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


def idle_memory(process_id: int) -> dict[str, float]:
    """MiB of each process, by its command's beginning."""
    used: dict[str, float] = {}
    for member in tree(process_id):
        with suppress(OSError):
            command = Path(f"/proc/{member}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            used[f"{member} {command[:60].strip()}"] = proportional_kib(member) / 1024
    return used

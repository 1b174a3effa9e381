"""Which map to start from: the one on the disk, or the newest durable snapshot.

The map is written without syncs, so what is in its file after a power loss or a crash of the operating system is
unknown. It is trusted when it was closed cleanly, or when it was written under the same boot of the same machine (then
the page cache has all of it, whatever happened to the process). Otherwise it is discarded; the newest snapshot takes
its place and the journal brings the rest. `judge` decides; the rest of the module does it.
"""

import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from borealis.storage.durable_files import replace_file, sync_directory
from borealis.storage.lmdb_map import DATA_FILE

STATE_FILE: Final = "map.state"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class MapState:
    """What is known about the map's file, durable before the map is written to.

    `inode` keeps a copy of a running data directory from being taken for the original.
    """

    boot: str
    inode: int
    is_clean: bool
    generation: int


class Verdict(Enum):
    KEEP = "keep"
    REBUILD = "rebuild"


def judge(state: MapState | None, map_inode: int | None, boot: str) -> Verdict:
    """Whether the map on the disk can be trusted; there is none when `map_inode` is None."""
    if state is None or map_inode is None:
        return Verdict.REBUILD
    is_same_boot = bool(boot) and state.boot == boot
    if state.is_clean or (is_same_boot and state.inode == map_inode):
        return Verdict.KEEP
    return Verdict.REBUILD


def read_state(storage_directory: Path) -> MapState | None:
    """None when there is none or it cannot be read: then nothing is known."""
    try:
        return MapState(**json.loads((storage_directory / STATE_FILE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_state(storage_directory: Path, state: MapState) -> None:
    replace_file(storage_directory / STATE_FILE, json.dumps(asdict(state)).encode() + b"\n")


def map_inode(map_directory: Path) -> int | None:
    try:
        return (map_directory / DATA_FILE).stat().st_ino
    except FileNotFoundError:
        return None


def discard_map(storage_directory: Path, map_directory: Path) -> None:
    """Forget the map. Nothing vouches for the next one until `write_state`."""
    (storage_directory / STATE_FILE).unlink(missing_ok=True)
    sync_directory(storage_directory)
    shutil.rmtree(map_directory, ignore_errors=True)
    map_directory.mkdir(parents=True)
    sync_directory(storage_directory)


def boot_identity() -> str:
    """Changes whenever the operating system starts; empty where that cannot be told (then no crash is survived)."""
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text().strip()
    if sys.platform == "darwin":
        import subprocess  # two megabytes that other systems spare

        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return ""


def remove_leftovers(directory: Path) -> None:
    """Unfinished files of a process that died."""
    for path in directory.glob("*.partial"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            os.unlink(path)

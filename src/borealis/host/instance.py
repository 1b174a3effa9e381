"""One query-processor instance: its files, made ready before each start.

Promises: PGDATA is a clone of the current seed, or the state that an instance of this seed left in this boot of the
machine (it runs without fsync, so that only the page cache vouches for it). Assumes that no server runs on the folder.
"""

import shutil
import subprocess
from pathlib import Path

from borealis.host.layout import InstanceFolder
from borealis.host.postgres_settings import InstanceSettings, render_hba, render_instance_conf
from borealis.host.seed import read_fingerprint

# Left by an instance whose catalogs are not the cluster's any more (docs/formats.md, "Catalog entry").
REBUILD_REQUEST = "rebuild"

LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id() -> str:
    """Names the time since the operating system started."""
    if LINUX_BOOT_ID.exists():
        return LINUX_BOOT_ID.read_text().strip()
    return subprocess.run(["sysctl", "-n", "kern.boottime"], check=True, capture_output=True, text=True).stdout.strip()


def prepare_instance(
    folder: InstanceFolder, seed: Path, fingerprint: str, boot_id: str, settings: InstanceSettings
) -> None:
    request = folder.socket / REBUILD_REQUEST
    if request.exists() or not is_usable(folder, fingerprint, boot_id):
        _clone(seed, folder)
        request.unlink(missing_ok=True)
    folder.boot.write_text(boot_id)
    (folder.pgdata / "postgresql.conf").write_text(render_instance_conf(settings))
    (folder.pgdata / "pg_hba.conf").write_text(render_hba())
    folder.socket.mkdir(mode=0o700, exist_ok=True)
    # Left by a server that was killed. Its processes are gone, or we would not hold the lock; but a lock file names a
    # process id, and the next server believes in any process of that id, even one that only waits to be reaped.
    for leftover in (folder.pgdata / "postmaster.pid", *folder.socket.glob(".s.PGSQL.*")):
        leftover.unlink(missing_ok=True)


def is_usable(folder: InstanceFolder, fingerprint: str, boot_id: str) -> bool:
    try:
        written_in = folder.boot.read_text()
    except FileNotFoundError:
        return False
    return written_in == boot_id and read_fingerprint(folder.pgdata) == fingerprint


def _clone(seed: Path, folder: InstanceFolder) -> None:
    shutil.rmtree(folder.root, ignore_errors=True)
    folder.root.mkdir(parents=True)
    shutil.copytree(seed, folder.pgdata)
    folder.pgdata.chmod(0o700)

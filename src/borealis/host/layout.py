"""Where things are in a data directory, and the lock that makes one host its only user (docs/formats.md).

The lock is an open file that every process of the host inherits: it is free again only when the last of them has ended,
so that a new start never meets a process left behind by a host that was killed.
"""

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from borealis.host.errors import HostError

VERSION_TEXT = "borealis data 1\n"

# sockaddr_un holds 108 bytes on Linux, 104 on macOS, terminator included.
SOCKET_PATH_BYTES_MAX = 100
LONGEST_SOCKET = "instance-100/.s.PGSQL.65535"

# What a folder without VERSION may hold: what an interrupted creation leaves, and a seed that was put there.
OWN_NAMES = {"lock", "journal", "storage", "instances", "log", "run", "seed"}

LOCK_WAIT_S = 15.0
LOCK_POLL_S = 0.02


@dataclass(frozen=True)
class InstanceFolder:
    """Files of one query-processor instance."""

    number: int
    root: Path
    socket: Path
    log: Path

    @property
    def pgdata(self) -> Path:
        return self.root / "pgdata"

    @property
    def boot(self) -> Path:
        """Names the boot of the operating system in which pgdata was last written."""
        return self.root / "boot"


@dataclass(frozen=True)
class DataDirectory:
    """`run` is the real run directory, not a symbolic link to it."""

    root: Path
    run: Path

    @property
    def seed(self) -> Path:
        return self.root / "seed"

    @property
    def storage_map(self) -> Path:
        return self.root / "storage" / "map"

    @property
    def server(self) -> Path:
        return self.root / "server"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def processes(self) -> Path:
        """What runs, for `borealis status` and `borealis psql`."""
        return self.run / "processes.json"

    def instance(self, number: int) -> InstanceFolder:
        name = f"instance-{number}"
        return InstanceFolder(
            number,
            self.root / "instances" / str(number),
            self.run / name,
            self.log / f"{name}.log",
        )


def create_layout(root: Path) -> DataDirectory:
    """Makes what is missing of a data directory. Raises HostError when the folder holds something else."""
    version = root / "VERSION"
    try:
        text = version.read_text()
    except FileNotFoundError:
        if any(entry.name not in OWN_NAMES for entry in root.iterdir()):
            raise HostError(
                f"{root} holds files but is not a Borealis data directory; choose another with --data"
            ) from None
    else:
        if text != VERSION_TEXT:
            raise HostError(
                f"{root} is of another version ({text.strip()!r}); this program reads {VERSION_TEXT.strip()!r}"
            )
    for name in ("journal/zone-1", "storage/map", "storage/snapshots", "instances", "log"):
        (root / name).mkdir(parents=True, exist_ok=True)
    run = _create_run_directory(root)
    if not version.exists():
        # Last: a folder with a VERSION is complete.
        version.write_text(VERSION_TEXT)
    return DataDirectory(root, run)


def open_layout(root: Path) -> DataDirectory:
    """An existing data directory, for commands that only look. Raises HostError when there is none."""
    root = root.absolute()
    if not (root / "VERSION").exists():
        raise HostError(f"{root} is not a Borealis data directory (or is not readable by you)")
    return DataDirectory(root, (root / "run").resolve())


def _create_run_directory(root: Path) -> Path:
    run = root / "run"
    if not is_socket_path_short(run):
        _link_run_directory(run)
    else:
        run.mkdir(mode=0o700, exist_ok=True)
    return run.resolve()


def is_socket_path_short(run: Path) -> bool:
    return len(os.fsencode(run / LONGEST_SOCKET)) <= SOCKET_PATH_BYTES_MAX


def _link_run_directory(run: Path) -> None:
    """Points DATA/run at a folder with a short name that nobody else can have prepared for us."""
    digest = hashlib.sha256(os.fsencode(run)).hexdigest()[:16]
    target = Path(tempfile.gettempdir(), f"borealis-{digest}")
    if not is_socket_path_short(target):
        raise HostError(
            f"the path of {run} is too long for a socket, and so is that of {target}; set TMPDIR to a short path"
        )
    target.mkdir(mode=0o700, exist_ok=True)
    status = target.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise HostError(f"{target} exists and is not a private folder of ours; remove it")
    if not run.is_symlink() or os.readlink(run) != str(target):
        run.unlink(missing_ok=True)
        run.symlink_to(target)


def take_lock(root: Path) -> int:
    """The descriptor of the lock, to be inherited by every child. Raises HostError while another host runs."""
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while not _try_lock(descriptor):
        holder = os.pread(descriptor, 20, 0).decode().strip()
        if holder.isdecimal() and _is_alive(int(holder)):
            raise HostError(f"Borealis already runs on {root} (process {holder})")
        if time.monotonic() > deadline:
            raise HostError(
                f"processes of an earlier start still use {root} (see {root}/run/processes.json); end them first"
            )
        time.sleep(LOCK_POLL_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def is_locked(root: Path) -> bool:
    try:
        descriptor = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

"""The lock that makes one host the only user of a data directory.

The lock is an open file that every process of the host inherits: it is free again only when the last of them has ended,
so that a new start never meets a process left behind by a host that was killed.
"""

import errno
import fcntl
import os
import time
from pathlib import Path

from borealis.host.errors import HostError

LOCK_WAIT_S = 15.0
LOCK_POLL_S = 0.02


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

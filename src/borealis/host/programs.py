"""The programs that the host runs: how each is started, when it is ready, how it is asked to end."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals
from typing import Protocol

from borealis.host.account import Account
from borealis.host.errors import HostError
from borealis.host.instance import prepare_instance
from borealis.host.layout import InstanceFolder
from borealis.host.postgres_settings import InstanceSettings
from borealis.host.server_tree import ServerTree

ORPHANS_GONE_S = 5.0
ORPHANS_POLL_S = 0.005

# Line of postmaster.pid that tells the server's state (miscadmin.h, LOCK_FILE_LINE_PM_STATUS).
POSTMASTER_STATUS_LINE = 8


class Program(Protocol):
    # Unlike that of any other on this host: `<cluster>/<role>` for what a cluster has.
    name: str
    log: Path
    command: tuple[str, ...]
    # The same, where it is `python -m module arguments`, so that it can be forked instead (zygote.py).
    module: str | None
    arguments: tuple[str, ...]
    # Who the program is started as; None: as root, if the host was, to drop privileges itself.
    account: Account | None
    # Whether it says `ready` on its standard output; else it is asked with `is_ready` while it starts.
    says_ready: bool
    port: int | None
    # Whether it starts with the first stage of its group, and has a stage only to be stopped in its turn.
    is_eager: bool
    # What the kernel sends it when the host is gone.
    death_signal: Signals
    # By severity of the request (supervision.Stop).
    stop_signals: tuple[Signals, Signals, Signals]

    def prepare(self) -> None: ...

    def is_ready(self) -> bool: ...


class Service:
    """A Python service. It imports before it drops privileges: Python may be installed out of the account's reach."""

    death_signal = SIGTERM
    stop_signals = (SIGTERM, SIGKILL, SIGKILL)
    account: Account | None = None
    says_ready = True

    def __init__(
        self,
        name: str,
        module: str,
        log: Path,
        account: Account | None,
        *settings: str,
        port: int | None = None,
        is_eager: bool = False,
    ) -> None:
        self.name = name
        self.port = port
        self.is_eager = is_eager
        self.log = log
        identity = (f"--uid={account.uid}", f"--gid={account.gid}") if account else ()
        self.module: str | None = module
        self.arguments: tuple[str, ...] = (*settings, *identity)
        # -P: the folder that it is started in is no place to import from.
        self.command: tuple[str, ...] = (sys.executable, "-P", "-m", module, *self.arguments)

    def prepare(self) -> None:
        pass

    def is_ready(self) -> bool:
        return False


class Instance:
    """A PostgreSQL server."""

    death_signal = SIGQUIT
    stop_signals = (SIGINT, SIGQUIT, SIGKILL)
    says_ready = False
    module: str | None = None
    arguments: tuple[str, ...] = ()
    is_eager = False

    def __init__(
        self,
        name: str,
        folder: InstanceFolder,
        settings: InstanceSettings,
        seed: Path,
        fingerprint: str,
        boot_id: str,
        tree: ServerTree,
        account: Account | None,
    ) -> None:
        self.name = name
        self.log = folder.log
        self.account = account
        self.command: tuple[str, ...] = (str(tree.program("postgres")), "-D", str(folder.pgdata))
        self.port: int | None = settings.port
        self._folder = folder
        self._settings = settings
        self._seed = seed
        self._fingerprint = fingerprint
        self._boot_id = boot_id

    def prepare(self) -> None:
        end_orphans(self._folder.pgdata)
        prepare_instance(self._folder, self._seed, self._fingerprint, self._boot_id, self._settings)

    def is_ready(self) -> bool:
        try:
            lines = (self._folder.pgdata / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= POSTMASTER_STATUS_LINE and lines[POSTMASTER_STATUS_LINE - 1].strip() == "ready"


def end_orphans(pgdata: Path) -> None:
    """Ends what a killed server left running in its folder: a busy backend notices only when it next waits.

    Nothing is lost: a transaction of such a backend has either been decided or never will be."""
    deadline = time.monotonic() + ORPHANS_GONE_S
    while orphans := find_processes_in(pgdata):
        if time.monotonic() > deadline:
            raise HostError(f"processes {orphans} still use {pgdata}")
        for process_id in orphans:
            with suppress(ProcessLookupError):
                os.kill(process_id, SIGKILL)
        time.sleep(ORPHANS_POLL_S)


def find_processes_in(folder: Path) -> list[int]:
    """Ids of the processes of our account whose working directory is the folder (a server's is its PGDATA)."""
    if sys.platform != "linux":
        return []
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if os.readlink(f"/proc/{entry.name}/cwd") == str(folder):
                    found.append(int(entry.name))
            except OSError:  # ended, or somebody else's
                continue
    return found

"""Starting processes: their identity, their environment, and their end if the host dies.

Every child of the host is told by the kernel when the host is gone, however it went: the child holds the read end of
a pipe whose only write end is the host's, and has asked for a signal instead of reading it. Unlike the parent-death
signal this survives the child's own change of user. Linux only; elsewhere a killed host leaves its children running.
"""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import IO

from borealis.host.account import Account

# fcntl(2): which signal tells of input on a descriptor in asynchronous mode. Python's fcntl module does not name it.
F_SETSIG = 10

Stream = int | IO[bytes] | None


class Tether:
    """The pipe between the host and one child. Keep it as long as the child shall live."""

    def __init__(self, death_signal: signal.Signals) -> None:
        self._death_signal = death_signal
        self.child_end, self._host_end = os.pipe()

    def attach(self) -> None:
        """In the child, before exec."""
        attach_tether(self.child_end, self._death_signal)

    def started(self) -> None:
        """In the host, once the child runs: its copy is the only one."""
        os.close(self.child_end)

    def release(self) -> None:
        """In the host, once the child has ended."""
        os.close(self._host_end)

    def discard(self) -> None:
        """In the host, if it is not known whether there is a child: there will be none for long."""
        self.started()
        self.release()


def attach_tether(child_end: int, death_signal: signal.Signals) -> None:
    """In the child: ask for the signal when the host is gone."""
    if sys.platform == "linux":
        fcntl.fcntl(child_end, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(child_end, F_SETSIG, death_signal)
        fcntl.fcntl(child_end, fcntl.F_SETFL, os.O_ASYNC)
        # A host that is gone already sends no signal any more.
        poll = select.poll()
        poll.register(child_end, 0)
        if poll.poll(0):
            os.kill(os.getpid(), death_signal)


def start_program(
    command: Sequence[str | Path],
    account: Account | None,
    *,
    stdin: Stream = DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
    keep: tuple[int, ...] = (),
    tether: Tether,
) -> Popen[bytes]:
    """Starts a program as the account, for good; with None it keeps our identity (call it inside `as_root`).

    `keep` are descriptors that the child inherits. When this raises, the tether is of no more use."""
    try:
        return Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(*keep, tether.child_end),
            preexec_fn=tether.attach,
            env=environment(os.environ),
            # The folder that the host was started in may be closed to the account.
            cwd="/",
            # Ctrl-C in a terminal is for the host alone, which stops its children in order.
            process_group=0,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except BaseException:
        tether.release()
        raise
    finally:
        tether.started()


def detach(output: int, keep: Sequence[int]) -> None:
    """Makes of a fork of ours what `start_program` makes of a program, but for its identity and its tether."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    lowest = 3
    for kept in sorted(keep):
        os.closerange(lowest, kept)
        lowest = kept + 1
    os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    wanted = environment(os.environ)
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    os.environ.update(wanted)


def environment(inherited: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Ours without what would change how PostgreSQL behaves."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(("PG", "LC_", "LANG", "TZ"))}
    return {**kept, "LC_ALL": "C"}

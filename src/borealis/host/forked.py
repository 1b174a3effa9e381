"""The host's side of the zygote: services as forks of a process that has imported everything (zygote.py)."""

import ctypes
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from io import BufferedWriter
from pathlib import Path
from subprocess import Popen
from typing import IO, Protocol

from borealis.host.account import Account, as_root
from borealis.host.launch import Tether, detach, start_program
from borealis.host.zygote import be_zygote, preload

# How long the zygote may take to import, and then for each fork, on a machine that is very busy.
PATIENCE_S = 60.0
ANSWER_BYTES_MAX = 4096
# prctl(2)
_SET_CHILD_SUBREAPER = 36


class Process(Protocol):
    """What the host does with a child, however it came to be."""

    pid: int
    stdout: IO[bytes] | None

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int) -> None: ...


class Forked:
    """A child of ours that was not started as a program: of the zygote first, or the zygote."""

    def __init__(self, process_id: int, stdout: IO[bytes] | None) -> None:
        self.pid = process_id
        self.stdout = stdout
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs."""
        if self._status is None:
            process_id, status = os.waitpid(self.pid, os.WNOHANG)
            if process_id:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def wait(self) -> None:
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            self._status = os.waitstatus_to_exitcode(status)


class Zygote:
    """Started when it is first needed, and anew when it has died. Where it cannot be had, `fork` says None."""

    def __init__(self, account: Account | None, lock: int, log: Path) -> None:
        self._account = account
        self._lock = lock
        self._log = log
        self._process: Popen[bytes] | Forked | None = None
        self._is_first = True
        self._tether: Tether | None = None
        self._orders: socket.socket | None = None
        self._is_possible = sys.platform == "linux" and _become_subreaper()

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin to import. Does nothing while one runs."""
        if not self._is_possible or self._orders is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tether = Tether(signal.SIGTERM)
        with theirs, self._log.open("ab") as log, as_root(self._account):
            if self._is_first:
                self._is_first = False
                self._process = self._fork_zygote(theirs, log, tether)
            else:
                self._process = self._start_zygote(theirs, log, tether)
        ours.settimeout(PATIENCE_S)
        self._tether = tether
        self._orders = ours

    def _fork_zygote(self, orders: socket.socket, log: BufferedWriter, tether: Tether) -> Forked:
        """What has been imported is shared with it. Nothing else of ours goes along: no descriptor, no signal."""
        preload()
        gc.collect()
        # Collections would write to every object, and end the sharing; nor may garbage of ours close descriptors there
        # that are somebody else's.
        gc.freeze()
        process_id = os.fork()
        if process_id:
            tether.started()
            return Forked(process_id, None)
        code = 1
        try:
            detach(log.fileno(), (self._lock, orders.fileno(), tether.child_end))
            tether.attach()
            be_zygote(orders, self._account)
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _start_zygote(self, orders: socket.socket, log: BufferedWriter, tether: Tether) -> Popen[bytes]:
        identity = (str(self._account.uid), str(self._account.gid)) if self._account else ()
        command = (sys.executable, "-P", "-m", "borealis.host.zygote", str(orders.fileno()), *identity)
        keep = (self._lock, orders.fileno())
        return start_program(command, None, stdout=log, stderr=log, keep=keep, tether=tether)

    def fork(
        self, name: str, module: str, arguments: Sequence[str], log: BufferedWriter, tether: Tether
    ) -> Forked | None:
        """Run a service as `python -m module arguments`. None: start it in another way, with another tether.

        An answer that does not come leaves open whether there is a service: its tether is cut then."""
        self.start()
        if self._orders is None:
            tether.discard()
            return None
        reader, writer = os.pipe()
        order = json.dumps({"name": name, "module": module, "arguments": list(arguments)}).encode()
        try:
            socket.send_fds(self._orders, [order], [writer, log.fileno(), tether.child_end])
            answer: dict[str, object] = {}
            while not answer:  # its first packet says that it has imported everything
                packet = self._orders.recv(ANSWER_BYTES_MAX)
                if not packet:
                    raise ConnectionResetError("the zygote has ended")
                answer = json.loads(packet)
            process_id = answer.get("process_id")
        except OSError:
            self._give_up()
            process_id = None
        finally:
            os.close(writer)
        if not isinstance(process_id, int):
            os.close(reader)
            tether.discard()
            return None
        tether.started()
        return Forked(process_id, os.fdopen(reader, "rb", buffering=0))

    def reap(self) -> None:
        """Take note if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            self._give_up()
            self._process = None

    def _give_up(self) -> None:
        """It ends when nobody gives it orders any more."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._tether is not None:
            self._tether.release()
            self._tether = None

    def close(self) -> None:
        self._give_up()
        if self._process is not None:
            self._process.wait()
            self._process = None


def _become_subreaper() -> bool:
    """Orphans below us become our children."""
    return bool(ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)

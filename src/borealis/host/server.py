"""The host's shell: carries out what supervision decides, and tells it what happens.

One thread, one selector: signals and the children's standard output wake it; a server that starts is polled.
"""

import os
import selectors
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Protocol

from borealis.host.account import Account, as_root
from borealis.host.errors import HostError
from borealis.host.launch import Tether, start_program
from borealis.host.programs import Program
from borealis.host.report import HostReport, ProcessReport, write_report
from borealis.host.supervision import Announce, Effect, Finish, Log, Start, Stop, Supervision

READY_POLL_S = 0.005
READ_BYTES = 65536
# A log that has grown beyond this becomes `<name>.old` when its process is next started.
LOG_BYTES_MAX = 16 * 1024 * 1024
LAST_LINE_BYTES_MAX = 4096


class Announcer(Protocol):
    """How the operator hears of what happens."""

    def ready(self, name: str) -> None: ...

    def event(self, text: str) -> None: ...


@dataclass
class Child:
    program: Program
    process: Popen[bytes]
    tether: Tether
    output: bytes = b""


class Host:
    """Runs the stages of programs until it is told to stop. Assumes that the account is assumed."""

    def __init__(
        self,
        stages: Sequence[Sequence[Program]],
        account: Account | None,
        lock: int,
        report: Path,
        announcer: Announcer,
    ) -> None:
        self._programs = {program.name: program for stage in stages for program in stage}
        self._supervision = Supervision([[program.name for program in stage] for stage in stages])
        self._account = account
        self._lock = lock
        self._report = report
        self._announcer = announcer
        self._children: dict[str, Child] = {}
        self._starts = dict.fromkeys(self._programs, 0)
        self._selector = selectors.DefaultSelector()
        self._finish: Finish | None = None

    def run(self) -> bool:
        """True when it ended because it was asked to."""
        signal_reader, signal_writer = os.pipe()
        os.set_blocking(signal_reader, False)
        os.set_blocking(signal_writer, False)
        signal.set_wakeup_fd(signal_writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(signal_reader, selectors.EVENT_READ, None)
        self._carry_out(self._supervision.begin(time.monotonic()))
        while self._finish is None:
            for key, _ in self._selector.select(self._timeout()):
                if key.data is None:
                    self._read_signals(signal_reader)
                else:
                    self._read_output(key.data)
            self._poll_starting()
            self._carry_out(self._supervision.tick(time.monotonic()))
        self._report.unlink(missing_ok=True)
        return not self._finish.has_failed

    def _timeout(self) -> float | None:
        if any(self._is_polled(name) for name in self._children):
            return READY_POLL_S
        deadline = self._supervision.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _is_polled(self, name: str) -> bool:
        return not self._programs[name].says_ready and not self._supervision.is_ready(name)

    def _poll_starting(self) -> None:
        for name in list(self._children):
            if self._is_polled(name) and self._programs[name].is_ready():
                self._carry_out(self._supervision.ready(name, time.monotonic()))

    def _read_signals(self, reader: int) -> None:
        received = set(os.read(reader, READ_BYTES))
        if received & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}:
            self._carry_out(self._supervision.stop(time.monotonic()))
        if signal.SIGCHLD in received:
            self._reap()

    def _reap(self) -> None:
        for name, child in list(self._children.items()):
            status = child.process.poll()
            if status is None:
                continue
            self._drop(name)
            how = f"signal {-status}" if status < 0 else f"status {status}"
            if status > 0 and (line := read_last_line(child.program.log)):
                how += f": {line} (log: {child.program.log})"
            self._carry_out(self._supervision.exited(name, how, time.monotonic()))
        if os.getpid() == 1:
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        """The first process of a container inherits the children of every process that dies in it."""
        ours = {child.process.pid for child in self._children.values()}
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in ours:
                return
            os.waitpid(ended.si_pid, 0)

    def _drop(self, name: str) -> None:
        child = self._children.pop(name)
        child.tether.release()
        if child.process.stdout is not None:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()

    def _read_output(self, name: str) -> None:
        """A service says `ready`, on a line of its own, once."""
        child = self._children.get(name)
        if child is None or child.process.stdout is None:
            return
        chunk = os.read(child.process.stdout.fileno(), READ_BYTES)
        if not chunk:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()
            child.process.stdout = None
            return
        *lines, child.output = (child.output + chunk).split(b"\n")
        if b"ready" in [line.strip() for line in lines]:
            self._carry_out(self._supervision.ready(name, time.monotonic()))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(name):
                    self._start(name)
                case Stop(name, severity):
                    self._stop(name, severity)
                case Announce(name):
                    self._announcer.ready(name)
                case Log(text):
                    self._announcer.event(text)
                case Finish():
                    self._finish = effect
        if effects and self._finish is None:
            # On a full disk the report is old; the services have their own ways to live with one.
            with suppress(OSError):
                self._write_report()

    def _start(self, name: str) -> None:
        program = self._programs[name]
        try:
            program.prepare()
            self._children[name] = self._spawn(program)
        except (OSError, HostError) as error:
            self._carry_out(self._supervision.exited(name, str(error), time.monotonic()))
            return
        self._starts[name] += 1

    def _spawn(self, program: Program) -> Child:
        tether = Tether(program.death_signal)
        with open_log(program.log) as log, as_root(self._account):
            process = start_program(
                program.command,
                program.account,
                stdout=PIPE if program.says_ready else log,
                stderr=log,
                keep=(self._lock,),
                tether=tether,
            )
        if process.stdout is not None:
            self._selector.register(process.stdout, selectors.EVENT_READ, program.name)
        return Child(program, process, tether)

    def _stop(self, name: str, severity: int) -> None:
        child = self._children.get(name)
        if child is not None:
            child.process.send_signal(child.program.stop_signals[severity])

    def _write_report(self) -> None:
        processes = tuple(
            ProcessReport(
                name=name,
                process_id=self._children[name].process.pid if name in self._children else None,
                port=program.port,
                is_ready=self._supervision.is_ready(name),
                restarts=max(0, self._starts[name] - 1),
                log=str(program.log),
            )
            for name, program in self._programs.items()
        )
        write_report(self._report, HostReport(os.getpid(), processes))


def open_log(path: Path) -> BufferedWriter:
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.old"))
    return path.open("ab")


def read_last_line(log: Path) -> str:
    """What a process that failed said last; empty when it said nothing."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_LINE_BYTES_MAX))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""

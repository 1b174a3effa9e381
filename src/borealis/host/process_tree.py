"""The processes of the host: carries out what supervision decides, and tells it what happens.

One thread, one selector: signals, the children's standard output and whoever else registers wake it; a server that
starts is polled.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Protocol

from borealis.host.account import Account, as_root
from borealis.host.errors import HostError
from borealis.host.forked import Process, Zygote
from borealis.host.launch import Tether, start_program
from borealis.host.programs import Program
from borealis.host.supervision import (
    Announce,
    Effect,
    Finish,
    GroupEnded,
    GroupReady,
    Log,
    Start,
    Stop,
    Supervision,
)

READY_POLL_S = 0.005
READ_BYTES = 65536
# A log that has grown beyond this becomes `<name>.old` when its process is next started.
LOG_BYTES_MAX = 16 * 1024 * 1024
LAST_LINE_BYTES_MAX = 4096
# A program says little on its standard output; what is longer is none of it.
LINE_BYTES_MAX = 4096


class Observer(Protocol):
    """Who is told of what happens to the processes, and may start and stop groups when told."""

    def group_ready(self, group: str) -> None: ...

    def group_ended(self, group: str, problem: str | None) -> None: ...

    def changed(self) -> None:
        """Processes have started, become ready or ended."""

    def said(self, program: str, line: str) -> None:
        """A line on a program's standard output other than `ready`."""

    def event(self, text: str) -> None:
        """For the operator."""

    def tick(self, now: float) -> None: ...

    @property
    def deadline(self) -> float | None:
        """When to call `tick` at the latest."""


@dataclass
class Child:
    program: Program
    process: Process
    tether: Tether
    output: bytes = b""


class ProcessTree:
    """Runs groups of programs until it is told to stop. Assumes that the account is assumed."""

    def __init__(self, account: Account | None, lock: int, zygote_log: Path) -> None:
        self.selector = selectors.DefaultSelector()
        self._supervision = Supervision()
        self._programs: dict[str, Program] = {}
        self._account = account
        self._lock = lock
        self._zygote = Zygote(account, lock, zygote_log)
        self._children: dict[str, Child] = {}
        self._starts: dict[str, int] = {}
        # Made ready to start ahead of their turn, while the stages before come up.
        self._prepared: set[str] = set()
        self._chores: list[tuple[Popen[bytes], Tether]] = []
        self._finish: Finish | None = None
        self._observer: Observer

    def warm_up(self) -> None:
        """Import what the services need, ahead of them. What is forked from us then has it, too."""
        self._zygote.start()

    def run(self, observer: Observer, begin: Callable[[], None]) -> bool:
        """Calls `begin`, and serves what it starts. True when it ended because it was asked to."""
        self._observer = observer
        self._zygote.start()
        signal_reader, signal_writer = os.pipe()
        os.set_blocking(signal_reader, False)
        os.set_blocking(signal_writer, False)
        signal.set_wakeup_fd(signal_writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.selector.register(signal_reader, selectors.EVENT_READ, lambda _: self._read_signals(signal_reader))
        begin()
        while self._finish is None:
            for key, mask in self.selector.select(self._timeout()):
                key.data(mask)
            self._poll_starting()
            now = time.monotonic()
            self._carry_out(self._supervision.tick(now))
            observer.tick(now)
        self._zygote.close()
        return not self._finish.has_failed

    def start_group(
        self, group: str, stages: Sequence[Sequence[Program]], *, is_vital: bool = False, is_outer: bool = False
    ) -> None:
        """See `Supervision.start`."""
        self._programs.update({program.name: program for stage in stages for program in stage})
        names = [[program.name for program in stage] for stage in stages]
        eager = {program.name for stage in stages for program in stage if program.is_eager}
        self._carry_out(
            self._supervision.start(group, names, time.monotonic(), eager=eager, is_vital=is_vital, is_outer=is_outer)
        )
        for program in (program for stage in stages[1:] for program in stage if program.name not in eager):
            # Takes its time while the first stage comes up. What goes wrong here goes wrong again when it is started.
            with suppress(OSError, HostError):
                program.prepare()
                self._prepared.add(program.name)

    def stop_group(self, group: str) -> None:
        self._carry_out(self._supervision.stop_group(group, time.monotonic()))

    def stop(self) -> None:
        self._carry_out(self._supervision.stop(time.monotonic()))

    def run_chore(self, command: Sequence[str | Path]) -> None:
        """A short-lived program that nothing waits for."""
        tether = Tether(signal.SIGTERM)
        with as_root(self._account):
            process = start_program(command, self._account, keep=(self._lock,), tether=tether)
        self._chores.append((process, tether))

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Nothing happens when it does not run."""
        child = self._children.get(name)
        if child is not None:
            child.process.send_signal(number)

    def is_ready(self, name: str) -> bool:
        return self._supervision.is_ready(name)

    def process_id(self, name: str) -> int | None:
        child = self._children.get(name)
        return None if child is None else child.process.pid

    def restarts(self, name: str) -> int:
        return max(0, self._starts.get(name, 0) - 1)

    def _timeout(self) -> float | None:
        if any(self._is_polled(name) for name in self._children):
            return READY_POLL_S
        deadlines = [d for d in (self._supervision.deadline, self._observer.deadline) if d is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _is_polled(self, name: str) -> bool:
        return not self._programs[name].says_ready and not self._supervision.is_ready(name)

    def _poll_starting(self) -> None:
        for name in list(self._children):
            if self._is_polled(name) and self._programs[name].is_ready():
                self._carry_out(self._supervision.ready(name, time.monotonic()))

    def _read_signals(self, reader: int) -> None:
        received = set(os.read(reader, READ_BYTES))
        if received & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}:
            self.stop()
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
        for chore in list(self._chores):
            process, tether = chore
            if process.poll() is not None:
                tether.release()
                self._chores.remove(chore)
        self._zygote.reap()
        self._reap_orphans()

    def _reap_orphans(self) -> None:
        """We inherit the children of every process below us that dies (forked.py)."""
        ours = (
            {self._zygote.process_id}
            | {child.process.pid for child in self._children.values()}
            | {chore.pid for chore, _ in self._chores}
        )
        with suppress(ChildProcessError):  # nobody is left
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in ours:
                    return
                os.waitpid(ended.si_pid, 0)

    def _drop(self, name: str) -> None:
        child = self._children.pop(name)
        child.tether.release()
        if child.process.stdout is not None:
            self.selector.unregister(child.process.stdout)
            child.process.stdout.close()

    def _read_output(self, name: str) -> None:
        """A service says `ready`, first in a line of its own, once."""
        child = self._children.get(name)
        if child is None or child.process.stdout is None:
            return
        chunk = os.read(child.process.stdout.fileno(), READ_BYTES)
        if not chunk:
            self.selector.unregister(child.process.stdout)
            child.process.stdout.close()
            child.process.stdout = None
            return
        *lines, rest = (child.output + chunk).split(b"\n")
        child.output = rest[:LINE_BYTES_MAX]
        for line in (line.strip() for line in lines):
            if line.split(b" ")[0] == b"ready":
                self._carry_out(self._supervision.ready(name, time.monotonic()))
            else:
                self._observer.said(name, line.decode(errors="replace"))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(name):
                    self._start(name)
                case Stop(name, severity):
                    self._stop(name, severity)
                case Announce():
                    pass
                case GroupReady(group):
                    self._observer.group_ready(group)
                case GroupEnded(group, problem):
                    self._forget_ended()
                    self._observer.group_ended(group, problem)
                case Log(text):
                    self._observer.event(text)
                case Finish():
                    self._finish = effect
        if effects and self._finish is None:
            self._observer.changed()

    def _forget_ended(self) -> None:
        """Programs of a group that has ended."""
        for name in [name for name in self._programs if not self._supervision.knows(name)]:
            del self._programs[name]
            self._starts.pop(name, None)
            self._prepared.discard(name)

    def _start(self, name: str) -> None:
        program = self._programs[name]
        try:
            if name in self._prepared:
                self._prepared.remove(name)
            else:
                program.prepare()
            self._children[name] = self._spawn(program)
        except (OSError, HostError) as error:
            self._carry_out(self._supervision.exited(name, str(error), time.monotonic()))
            return
        self._starts[name] = self._starts.get(name, 0) + 1

    def _spawn(self, program: Program) -> Child:
        with open_log(program.log) as log:
            child = self._fork(program, log) or self._execute(program, log)
        if child.process.stdout is not None:
            name = program.name
            self.selector.register(child.process.stdout, selectors.EVENT_READ, lambda _: self._read_output(name))
        return child

    def _fork(self, program: Program, log: BufferedWriter) -> Child | None:
        if program.module is None or program.account is not None:
            return None
        tether = Tether(program.death_signal)
        name = program.name.rpartition("/")[2]
        process = self._zygote.fork(name, program.module, program.arguments, log, tether)
        return None if process is None else Child(program, process, tether)

    def _execute(self, program: Program, log: BufferedWriter) -> Child:
        tether = Tether(program.death_signal)
        with as_root(self._account):
            process = start_program(
                program.command,
                program.account,
                stdout=PIPE if program.says_ready else log,
                stderr=log,
                keep=(self._lock,),
                tether=tether,
            )
        return Child(program, process, tether)

    def _stop(self, name: str, severity: int) -> None:
        child = self._children.get(name)
        if child is not None:
            child.process.send_signal(child.program.stop_signals[severity])


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

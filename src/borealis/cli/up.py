"""`borealis up`: the host in the foreground, told in a few lines."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from borealis.host import HostSettings, run_host


class Terminal:
    """Says on standard output what is ready for use, on standard error what happens."""

    def __init__(self, settings: HostSettings, command: str) -> None:
        self._settings = settings
        self._command = command
        self._started = time.monotonic()
        self._waiting = set(range(1, settings.instances + 1))

    def ready(self, name: str) -> None:
        role, _, number = name.rpartition("-")
        if role != "instance":
            return
        port = self._settings.port + int(number) - 1
        print(f"postgresql://admin@127.0.0.1:{port}/postgres", flush=True)
        self._waiting.discard(int(number))
        if not self._waiting:
            data = shlex.quote(str(self._settings.data))
            print(
                f"ready in {time.monotonic() - self._started:.1f} s; to connect: {self._command} psql --data {data}",
                flush=True,
            )

    def event(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def up(options: argparse.Namespace) -> int:
    settings = HostSettings(
        data=options.data,
        port=options.port,
        listen=options.listen,
        instances=options.instances,
        connections_max=options.max_connections,
    )
    program = Path(sys.argv[0])
    command = (
        shlex.quote(str(program)) if program.name == "borealis" else f"{shlex.quote(sys.executable)} -m borealis.cli"
    )
    return 0 if run_host(settings, Terminal(settings, command)) else 1

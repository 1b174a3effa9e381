"""`borealis up`: the host in the foreground, told in a few lines."""

import argparse
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from borealis.host import HostSettings, run_host
from borealis.host.report import HostReport


class Terminal:
    """Says on standard output what is ready for use, on standard error what happens."""

    def __init__(self, settings: HostSettings, command: str) -> None:
        self._settings = settings
        self._command = command
        self._started = time.monotonic()

    def ready(self, report: HostReport) -> None:
        for instance in report.of(report.first_cluster) if self._settings.direct_port is not None else ():
            if instance.name.startswith("instance-"):
                say(sys.stdout, f"postgresql://admin@127.0.0.1:{instance.port}/postgres")
        data = shlex.quote(str(self._settings.data))
        took_s = time.monotonic() - self._started
        say(sys.stdout, f"ready in {took_s:.1f} s; to connect: {self._command} psql --data {data}")

    def event(self, text: str) -> None:
        say(sys.stderr, f"{time.strftime('%H:%M:%S')} {text}")


def say(stream: TextIO, text: str) -> None:
    """A terminal or a pipe that is gone is no reason to stop a database."""
    with suppress(OSError):
        print(text, file=stream, flush=True)


def up(options: argparse.Namespace) -> int:
    settings = HostSettings(
        data=options.data,
        port=options.port,
        api_port=options.api_port,
        listen=options.listen,
        direct_port=options.direct_port,
        account=options.account,
        region=options.region,
        domain=options.domain,
        certificate=options.certificate,
        key=options.key,
        instances=options.instances,
        spares=options.spares,
        sleep_after_s=options.sleep_after or None,
        connections_max=options.max_connections,
        transaction_age_limit_s=options.transaction_age_limit,
        postgres=tuple(options.set),
    )
    program = Path(sys.argv[0])
    command = (
        shlex.quote(str(program)) if program.name == "borealis" else f"{shlex.quote(sys.executable)} -m borealis.cli"
    )
    try:
        return 0 if run_host(settings, Terminal(settings, command)) else 1
    except KeyboardInterrupt:  # before there was anything to stop
        return 130

"""`borealis up`: the host in the foreground, told in a few lines."""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from borealis.foundation.errors import Unavailable
from borealis.host import HostSettings, run_host
from borealis.host.apart import run_apart
from borealis.host.layout import open_layout
from borealis.host.report import HostReport

if TYPE_CHECKING:
    from borealis.cli.access import Access


class Terminal:
    """Says on standard output what is ready for use, on standard error what happens."""

    def __init__(self, settings: HostSettings, command: str) -> None:
        self._settings = settings
        self._command = command
        self._started = time.monotonic()

    def ready(self, report: HostReport) -> None:
        try:
            # The host holds no keys, and nothing of what reads them.
            run_apart(("borealis.cli.access", "borealis.cli.env"), lambda: self._introduce(report))
        except Unavailable as error:
            self.event(str(error))
        for instance in report.of(report.first_cluster) if self._settings.direct_port is not None else ():
            if instance.name.startswith("instance-"):
                say(sys.stdout, f"postgresql://admin@127.0.0.1:{instance.port}/postgres")
        say(sys.stdout, f"ready in {time.monotonic() - self._started:.1f} s")

    def _introduce(self, report: HostReport) -> None:
        from borealis.cli.access import choose_cluster, describe_access

        directory = open_layout(self._settings.data)
        access = describe_access(directory, report, choose_cluster(directory, report, None))
        for line in self._describe(access):
            say(sys.stdout, line)

    def _describe(self, access: "Access") -> Iterator[str]:
        from borealis.cli.env import psql_line

        data = f"--data {shlex.quote(str(self._settings.data.absolute()))}"
        # Where the output goes into a file, the secret does not.
        is_terminal = sys.stdout.isatty()
        yield f"API          {access.api_url}"
        yield f"region       {access.endpoint.region}"
        yield f"access key   {access.key.id}"
        yield f"secret       {access.key.secret.reveal() if is_terminal else '(shown on a terminal; see borealis env)'}"
        yield f"authority    {access.authority}"
        yield f"cluster      {access.endpoint} port {access.port}"
        yield f"psql         {psql_line(access, f'{self._command} token {data}')}"
        yield f'other tools  eval "$({self._command} env {data})"'

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
        hosts=options.hosts,
        certificate=options.certificate,
        key=options.key,
        authority=options.authority,
        clusters_max=options.clusters_max,
        connection_limit=options.connection_limit,
        connection_rate=options.connection_rate,
        connection_burst=options.connection_burst,
        instances=options.instances,
        spares=options.spares,
        sleep_after_s=options.sleep_after or None,
        connections_max=options.max_connections,
        transaction_age_limit_s=options.transaction_age_limit,
        postgres=tuple(options.set),
    )
    program = Path(sys.argv[0]).absolute()  # what is printed is used in other folders, too
    command = (
        shlex.quote(str(program)) if program.name == "borealis" else f"{shlex.quote(sys.executable)} -m borealis.cli"
    )
    try:
        return 0 if run_host(settings, Terminal(settings, command)) else 1
    except KeyboardInterrupt:  # before there was anything to stop
        return 130

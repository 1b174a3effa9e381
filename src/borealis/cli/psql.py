"""`borealis psql`: the wheel's psql, on an instance that runs."""

import argparse
import os

from borealis.foundation.errors import Unavailable
from borealis.host.layout import open_layout
from borealis.host.postgres_settings import ADMIN, DATABASE
from borealis.host.report import read_report
from borealis.host.server_tree import find_postgres

# Where Linux distributions keep what readline needs to know of terminals; the wheel's copy was built for one of them.
TERMINFO_DIRS = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo")


def psql(options: argparse.Namespace) -> int:
    report = read_report(open_layout(options.data))
    if report is None:
        raise Unavailable(f"nothing runs on {options.data}; start it with borealis up --data {options.data}")
    port = report.instance_port(options.instance)
    if port is None:
        raise Unavailable(f"there is no instance {options.instance}; borealis status tells what runs")
    program = find_postgres() / "bin" / "psql"
    environment = {"TERMINFO_DIRS": ":".join(TERMINFO_DIRS), **os.environ}
    command = [str(program), "-h", "127.0.0.1", "-p", str(port), "-U", ADMIN, "-d", DATABASE, *options.arguments]
    os.execve(program, command, environment)

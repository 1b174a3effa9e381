"""`python -m borealis.adjudicator`: the transaction service as a process. Prints `ready` when it serves."""

import concurrent.futures.thread  # noqa: F401 - asyncio imports it late, when privileges are gone
import logging
import os
import sys

import uvloop

from borealis.adjudicator.server import TransactionServer
from borealis.adjudicator.settings import Settings, parse_settings
from borealis.foundation.clock import SystemClock
from borealis.foundation.errors import BorealisError


def _drop_privileges(settings: Settings) -> None:
    """Everything is imported by now: an unprivileged user may be unable to read the interpreter's files."""
    if settings.gid is not None:
        os.setgroups([])
        os.setgid(settings.gid)
    if settings.uid is not None:
        os.setuid(settings.uid)


async def _serve(settings: Settings) -> None:
    await TransactionServer(settings, SystemClock()).run()


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s adjudicator %(name)s: %(message)s",
    )
    settings = parse_settings()
    _drop_privileges(settings)
    try:
        uvloop.run(_serve(settings))
    except BorealisError as error:
        logging.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m borealis.adjudicator`: the transaction service as a process. Prints `ready` when it serves."""

import concurrent.futures.thread  # noqa: F401 - asyncio imports it late, when privileges are gone
import logging
import sys

import uvloop

from borealis.adjudicator.server import TransactionServer
from borealis.adjudicator.settings import Settings, parse_settings
from borealis.foundation.clock import SystemClock
from borealis.foundation.errors import BorealisError
from borealis.foundation.privileges import drop_privileges


async def _serve(settings: Settings) -> None:
    await TransactionServer(settings, SystemClock()).run()


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s adjudicator %(name)s: %(message)s",
    )
    settings = parse_settings()
    drop_privileges(settings.uid, settings.gid)
    try:
        uvloop.run(_serve(settings))
    except BorealisError as error:
        logging.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

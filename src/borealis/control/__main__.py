"""`python -m borealis.control`: the control service as a process. Prints `ready <address>` when it serves."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - asyncio imports it late, when privileges are gone
import encodings.idna  # noqa: F401 - the same
import logging
import secrets
import sys
from contextlib import closing

from borealis.audit import AuditLog
from borealis.clusters.store import ClusterStore
from borealis.control.server import ControlServer
from borealis.control.settings import Settings, parse_settings
from borealis.foundation.clock import SystemClock
from borealis.foundation.errors import BorealisError
from borealis.foundation.privileges import drop_privileges
from borealis.iam import IamReader, IamStore

_DIRECTORY_PERMISSIONS = 0o700


async def _serve(settings: Settings) -> None:
    clock = SystemClock()
    settings.control.mkdir(mode=_DIRECTORY_PERMISSIONS, parents=True, exist_ok=True)
    with IamStore.open(settings.control, secrets.token_bytes) as iam:
        iam.install(settings.installation.account, clock.now())
    with (
        AuditLog(settings.audit, "control") as audit,
        closing(ClusterStore(settings.control / "clusters.sqlite", settings.installation)) as store,
        IamReader.open(settings.control) as credentials,
    ):
        await ControlServer(settings, store, credentials, audit, clock).run()


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s control %(name)s: %(message)s",
    )
    settings = parse_settings()
    drop_privileges(settings.uid, settings.gid)
    try:
        asyncio.run(_serve(settings))
    except BorealisError as error:
        logging.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

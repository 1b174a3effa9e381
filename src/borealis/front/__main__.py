"""`python -m borealis.front`: the front of one instance as a process.

Prints `ready` once it takes sessions, then `sessions N` when their number has changed.
"""

import argparse
import logging
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path

from borealis.clusters.names import is_identifier
from borealis.foundation.command_line import add_identity, add_settings, check_identity, choose_settings
from borealis.foundation.errors import BorealisError
from borealis.foundation.privileges import drop_privileges
from borealis.front.places import NUMBER_MAX, Places
from borealis.front.role_settings import CatalogVersion
from borealis.front.server import FrontServer
from borealis.front.settings import FrontSettings
from borealis.tls import TlsSession

FRONT_IDS = 1 << 15
# Relays, sessions that come and go, cancel requests.
OTHER_DESCRIPTORS = 600


def main() -> int:
    options = _parse_options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s front: %(message)s")
    settings = choose_settings(FrontSettings(), options)
    try:
        settings = replace(settings, sessions_max=min(settings.sessions_max, _raise_descriptor_limit(settings)))
        drop_privileges(options.uid, options.gid)
        postgres = str(options.postgres / f".s.PGSQL.{options.port}")
        server = FrontServer(
            options.listen,
            postgres,
            options.front_id,
            options.cluster,
            settings,
            Places(options.places, options.number, settings.cluster_sessions_max),
            CatalogVersion(options.transactions),
            TlsSession.adopt,
            lambda count: print(f"sessions {count}", flush=True),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        signal.set_wakeup_fd(server.wake_descriptor, warn_on_full_buffer=False)
        server.run(lambda: print("ready", flush=True))
    except (BorealisError, OSError) as error:
        logging.critical("%s", error)
        return 1
    return 0


def _raise_descriptor_limit(settings: FrontSettings) -> int:
    """As far as we may; how many sessions there can be with it."""
    wanted = min(settings.sessions_max, settings.cluster_sessions_max) + settings.backends_max + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        logging.warning("no more than %d files may be open, which limits the number of sessions", soft)
    return max(1, soft - settings.backends_max - OTHER_DESCRIPTORS)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="borealis-front", description=__doc__)
    parser.add_argument("--listen", type=Path, required=True, help="socket for relays")
    parser.add_argument("--postgres", type=Path, required=True, help="folder of the instance's Unix socket")
    parser.add_argument("--port", type=int, required=True, help="number in the name of that socket")
    parser.add_argument("--front-id", type=int, required=True, help="first part of the process ids that clients see")
    parser.add_argument("--cluster", required=True, help="identifier of the cluster whose sessions are taken")
    parser.add_argument("--places", type=Path, required=True, help="file of the counts of the cluster's sessions")
    parser.add_argument("--transactions", type=Path, required=True, help="shared page of the transaction service")
    parser.add_argument("--number", type=int, required=True, help="which of the cluster's fronts this is, from 1 on")
    add_identity(parser)
    add_settings(parser, FrontSettings)
    options = parser.parse_args()
    check_identity(parser, options)
    if not 0 <= options.front_id < FRONT_IDS:
        parser.error(f"--front-id is below {FRONT_IDS}")
    if not 1 <= options.number <= NUMBER_MAX:
        parser.error(f"--number is 1 to {NUMBER_MAX}")
    if not is_identifier(options.cluster):
        parser.error("--cluster is 26 characters of a-z and 0-9")
    return options


if __name__ == "__main__":
    sys.exit(main())

"""`python -m borealis.storage --data DIR --run DIR [--uid N --gid N]`; prints `ready` when it follows the journal."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from borealis.foundation.command_line import add_identity, add_settings, check_identity, choose_settings
from borealis.foundation.errors import BorealisError
from borealis.foundation.privileges import drop_privileges
from borealis.storage.opening import StorageLayout
from borealis.storage.server import StorageServer
from borealis.storage.settings import StorageSettings


def main() -> int:
    options = _parse_options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s storage: %(message)s")
    settings = choose_settings(StorageSettings(), options)
    layout = StorageLayout(options.data / "storage", options.run)
    try:
        drop_privileges(options.uid, options.gid)
        for directory in layout.directories():
            directory.mkdir(parents=True, exist_ok=True)
        server = StorageServer(layout, settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        signal.set_wakeup_fd(server.wake_descriptor, warn_on_full_buffer=False)
        server.run(lambda: print("ready", flush=True))
        server.close()
    except (BorealisError, OSError) as error:
        logging.critical("%s", error)
        return 1
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="borealis-storage", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--run", type=Path, required=True, help="directory of sockets and shared pages")
    add_identity(parser)
    add_settings(parser, StorageSettings)
    options = parser.parse_args()
    check_identity(parser, options)
    return options


if __name__ == "__main__":
    sys.exit(main())

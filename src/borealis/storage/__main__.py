"""`python -m borealis.storage --data DIR --run DIR [--uid N --gid N]`; prints `ready` when it follows the journal."""

import argparse
import logging
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path

from borealis.foundation.errors import BorealisError
from borealis.foundation.privileges import drop_privileges
from borealis.storage.opening import StorageLayout
from borealis.storage.server import StorageServer
from borealis.storage.settings import StorageSettings


def main() -> int:
    options = _parse_options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s storage: %(message)s")
    settings = replace(StorageSettings(), **dict(options.set))
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
    parser.add_argument("--uid", type=int, help="user to become before any data is touched")
    parser.add_argument("--gid", type=int, help="group to become before any data is touched")
    parser.add_argument(
        "--set",
        type=_parse_setting,
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="change a setting: " + ", ".join(field.name for field in fields(StorageSettings)),
    )
    options = parser.parse_args()
    if (options.uid is None) != (options.gid is None):
        parser.error("--uid and --gid go together")
    return options


def _parse_setting(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in {field.name for field in fields(StorageSettings)}:
        raise argparse.ArgumentTypeError(f"there is no setting {name!r}")
    return name, int(number)


if __name__ == "__main__":
    sys.exit(main())

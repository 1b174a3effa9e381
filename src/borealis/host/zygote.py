"""The zygote: has imported what every service needs, and forks one for each order of the host.

To import takes a service a quarter of a second and 12 MB of memory of its own. Forked from here it starts in
milliseconds, and what has been imported is shared for as long as nobody writes to it. The first zygote is a fork of the
host itself, which has imported it all before it knows of any cluster, and shares in it; one that follows a zygote that
has died is a program of its own. A zygote holds no data, no key and no connection but that to the host, so nothing of
one tenant can reach another this way; what its children have in common is where their code lies in memory. Where the
host is root, it goes on with the account's effective ids once it has imported, like the host itself; a service is root
again until it drops that for good, after its own imports.

Promises: a service becomes the host's own child (the zygote forks it through a process that ends at once, and orphans
go to the host, which is their subreaper), so it is waited for, signalled and missed like any other, and the end of the
zygote does not concern it. Linux only. The protocol is one packet for each order, JSON with descriptors beside it, and
one packet back: the process id.
"""

import atexit
import ctypes
import gc
import importlib
import json
import logging
import os
import random
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

from borealis.host.account import Account, assume
from borealis.host.launch import attach_tether

PRELOADED: Final = (
    "borealis.adjudicator.__main__",
    "borealis.storage.__main__",
    "borealis.front.__main__",
    "borealis.relay.__main__",
    "borealis.control.__main__",
)
ORDER_BYTES_MAX: Final = 1 << 16
# Of an order: standard output, standard error, tether.
DESCRIPTORS: Final = 3
_EXIT_EXCEPTION: Final = 1
_SIGNALS_OF_OURS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# prctl(2)
_SET_NAME: Final = 15


def serve(orders: socket.socket) -> None:
    """Until the host is gone."""
    while True:
        packet, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, DESCRIPTORS)
        if not packet:
            return
        order = json.loads(packet)
        try:
            process_id = _fork(orders, order["name"], order["module"], order["arguments"], descriptors)
            answer: dict[str, object] = {"process_id": process_id}
        except OSError as error:
            answer = {"error": error.strerror}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        orders.send(json.dumps(answer).encode())


def _fork(orders: socket.socket, name: str, module: str, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """The process id of a service that is no child of ours."""
    reader, writer = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            _fork_again(orders, reader, writer, name, module, arguments, descriptors)
        os.close(writer)
        writer = -1
        with os.fdopen(reader, "rb", closefd=False) as answer:
            process_id = int(answer.read() or b"0")
        os.waitpid(between, 0)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if process_id == 0:
        raise OSError("cannot fork")
    return process_id


def _fork_again(
    orders: socket.socket,
    reader: int,
    writer: int,
    name: str,
    module: str,
    arguments: Sequence[str],
    descriptors: Sequence[int],
) -> NoReturn:
    try:
        process_id = os.fork()
        if process_id == 0:
            for unneeded in (reader, writer, orders.detach()):
                os.close(unneeded)
            _run(name, module, arguments, descriptors)
        os.write(writer, str(process_id).encode())
    finally:
        os._exit(0)


def _run(name: str, module: str, arguments: Sequence[str], descriptors: Sequence[int]) -> NoReturn:
    """Be the service, from its first line to its end."""
    code = _EXIT_EXCEPTION
    try:
        _take_place(name, descriptors)
        sys.argv = [module, *arguments]
        program = sys.modules.get(f"{module}.__main__")
        if program is not None:
            code = program.main()
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        else:
            code = end.code or 0
    except BrokenPipeError:
        pass  # the host is gone, to which it wanted to say that it is ready
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            atexit._run_exitfuncs()
            logging.shutdown()
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        os._exit(code)


def _take_place(name: str, descriptors: Sequence[int]) -> None:
    output, errors, tether = descriptors
    # Like every child of the host: Ctrl-C in a terminal is not for it.
    os.setpgid(0, 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.close(output)
    os.close(errors)
    if os.getuid() != os.geteuid():
        os.seteuid(0)
        os.setegid(0)
    for number in _SIGNALS_OF_OURS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    # After the signals: the zygote ignores the one that this asks for.
    attach_tether(tether, signal.SIGTERM)
    random.seed()
    _name(name)


def _name(name: str) -> None:
    ctypes.CDLL(None).prctl(_SET_NAME, name.encode()[:15], 0, 0, 0)


def preload() -> None:
    """Once. May lie where only root can read."""
    for module in PRELOADED:
        importlib.import_module(module)


def be_zygote(orders: socket.socket, account: Account | None) -> None:
    """Until the host is gone."""
    _name("zygote")
    for number in _SIGNALS_OF_OURS:
        # The host's to handle; its end is the end of the orders.
        signal.signal(number, signal.SIG_IGN)
    preload()
    gc.collect()
    # Counting references is all that writes to what is shared: no collection walks over it.
    gc.freeze()
    assume(account)
    with suppress(ConnectionError):  # the host is gone
        orders.send(b"{}")
        serve(orders)


def main() -> int:
    account = Account(int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 2 else None
    be_zygote(socket.socket(fileno=int(sys.argv[1])), account)
    return 0


if __name__ == "__main__":
    sys.exit(main())

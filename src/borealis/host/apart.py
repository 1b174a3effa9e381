"""Work in a process of its own, which is gone afterwards with everything that it imported and read.

For what a process that lives long needs once. Assumes one thread. Ctrl-C and the like, which a terminal sends to both,
are the caller's alone.
"""

import importlib
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from borealis.foundation.errors import BorealisError, InvariantViolation
from borealis.host.account import as_root, current_account

Answer = TypeVar("Answer")


def run_apart(modules: Sequence[str], work: Callable[[], Answer]) -> Answer:
    """Returns what the work does, and raises its BorealisError; both must be such that can be pickled. The modules are
    those that it imports: they may lie where only root can read."""
    reader, writer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # else both would say what waits there
    process_id = os.fork()
    if process_id == 0:
        os.close(reader)
        _work(modules, work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(process_id, 0)
    if not told:
        raise InvariantViolation(f"work in a process apart ended with status {os.waitstatus_to_exitcode(status)}")
    error, answer = pickle.loads(told)
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]


def _work(modules: Sequence[str], work: Callable[[], Answer], writer: int) -> NoReturn:
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        with as_root(current_account()):
            for module in modules:
                importlib.import_module(module)
        told: tuple[BorealisError | None, Answer | None]
        try:
            told = (None, work())
        except BorealisError as error:
            told = (error, None)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(told))
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)

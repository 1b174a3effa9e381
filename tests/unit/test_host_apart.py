"""Work in a process of its own: answers, errors, what is left behind."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from borealis.foundation.errors import InvariantViolation
from borealis.host.apart import run_apart
from borealis.host.errors import HostError


def test_answers_come_back_and_imports_do_not() -> None:
    assert "colorsys" not in sys.modules
    process_id, is_loaded = run_apart(("colorsys",), lambda: (os.getpid(), "colorsys" in sys.modules))
    assert process_id != os.getpid()
    assert is_loaded
    assert "colorsys" not in sys.modules


def test_errors_on_purpose_come_back() -> None:
    def work() -> None:
        raise HostError("see --certificate")

    with pytest.raises(HostError, match="see --certificate"):
        run_apart((), work)


def test_other_errors_are_ours_and_tell_where(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvariantViolation, match="status 1"):
        run_apart((), lambda: 1 // 0)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_whoever_is_killed_has_no_answer() -> None:
    with pytest.raises(InvariantViolation, match="status -9"):
        run_apart((), lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_what_is_said_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("before ")
    run_apart((), lambda: print("within"))
    print("after")
    assert capfd.readouterr().out == "before within\nafter\n"

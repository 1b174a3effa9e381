"""Waiting for a state that nobody announces: asked for again and again, with a bound that fails the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

GIVE_UP_S = 60.0
ASK_AGAIN_S = 0.005


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Returns once `is_so` answers true."""
    deadline = time.monotonic() + GIVE_UP_S
    while not is_so():
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(ASK_AGAIN_S)


def wait_for(event: threading.Event, what: str) -> None:
    assert event.wait(GIVE_UP_S), f"gave up waiting until {what}"

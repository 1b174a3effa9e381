"""Timers of the event loop."""

from __future__ import annotations

import weakref

from borealis.front.poller import Poller


class Caller:
    def __init__(self) -> None:
        self.calls = 0

    def call(self) -> None:
        self.calls += 1


def test_timers_go_off_in_their_order() -> None:
    poller, order = Poller(), []
    for name, delay_ns in (("late", 2), ("early", 1), ("also late", 2)):
        poller.call_at(poller.now_ns + delay_ns, lambda name=name: order.append(name))  # type: ignore[misc]
    poller.run_once()
    assert order == ["early", "late", "also late"]
    poller.close()


def test_a_cancelled_timer_calls_nobody_and_holds_nobody() -> None:
    poller, caller, other = Poller(), Caller(), Caller()
    poller.call_at(poller.now_ns, caller.call).cancel()
    gone = weakref.ref(caller)
    del caller
    assert gone() is None
    poller.call_at(poller.now_ns, other.call)
    poller.run_once()
    assert other.calls == 1
    poller.close()

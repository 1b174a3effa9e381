from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.control.running_control import RunningControl

MakeControl = Callable[..., RunningControl]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningControl]:
    """One service for the tests of a module, which use clusters and users of their own."""
    control = RunningControl("--clusters-max", "10000", "--calls-per-second", "10000", "--calls-burst", "10000")
    try:
        control.start()
        yield control
    finally:
        control.close()


@pytest.fixture
def make_control() -> Iterator[MakeControl]:
    """Services of a test's own, with options; not started yet."""
    made: list[RunningControl] = []

    def make(*options: str) -> RunningControl:
        made.append(RunningControl(*options))
        return made[-1]

    yield make
    for control in made:
        control.close()


@pytest.fixture(scope="module")
def client(shared: RunningControl) -> Any:
    """The administrator's."""
    return shared.client()

from __future__ import annotations

import pytest

from tests.unit.adjudicator.driving import ADJUDICATORS, Driver, Make, Start


@pytest.fixture(params=ADJUDICATORS, ids=lambda made: made.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an adjudicator, or its specification."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def start(make: Make) -> Start:
    """Makes a driver of one that has begun its lease."""
    return lambda **arguments: Driver(make(**arguments))

"""The quick gate tries a share of the examples, the whole suite all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.examples import QUICK, examples


@pytest.fixture
def _own_profile() -> Iterator[None]:
    before = settings.get_current_profile_name()
    yield
    settings.load_profile(before)


@pytest.mark.usefixtures("_own_profile")
@pytest.mark.parametrize(("profile", "share"), [("borealis", 1.0), (QUICK, 0.2)])
def test_a_profile_tries_its_share(profile: str, share: float) -> None:
    settings.load_profile(profile)
    assert examples(300) == 300 * share
    assert examples(1) == 1


def test_no_property_test_keeps_the_quick_gate_waiting() -> None:
    """Who asks for more than a few examples asks through `examples`."""
    fixed = re.compile(r"max_examples=([3-9]\d|\d{3,})")
    folder = Path(__file__).parent
    assert [path.name for path in sorted(folder.rglob("*.py")) if fixed.search(path.read_text())] == []

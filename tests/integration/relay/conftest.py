from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.relay.world import RelayWorld


@pytest.fixture(scope="module")
def world() -> Iterator[RelayWorld]:
    """A relay for all tests of a file: they share its limits and its audit log."""
    opened = RelayWorld()
    try:
        yield opened
    finally:
        opened.close()

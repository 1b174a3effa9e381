"""A plain PostgreSQL server with borealis_units: the write set and the storage reader behind SQL functions.

The library is built when it is out of date; it needs none of the services, which postgres_extension/tests/units_shim.c
stands in for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.building import build
from tests.integration.plain_server import CHECKOUT, EXTENSION_SOURCES, connect, plain_server

UNITS = EXTENSION_SOURCES / "tests"


def build_units() -> Path:
    """Builds the library with assertions on; gives its folder."""
    build(UNITS)
    return CHECKOUT / ".build" / "units-assert"


@contextmanager
def units_server(library: Path) -> Iterator[Path]:
    """Runs the server with the library in that folder; gives the folder of its Unix socket."""
    with plain_server(library) as server:
        with connect(server) as connection:
            connection.execute((UNITS / "units.sql").read_bytes())
        yield server

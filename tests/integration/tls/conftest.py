from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.tls.hosts import Hosts
from tests.stock import StockServer


@pytest.fixture(scope="package")
def postgres() -> Iterator[str]:
    """The Unix socket of a server."""
    server = StockServer()
    server.start()
    try:
        yield str(server.folder / f".s.PGSQL.{server.port}")
    finally:
        server.stop()


@pytest.fixture(scope="package", params=[False, True], ids=["one host", "two hosts"])
def hosts(request: pytest.FixtureRequest, postgres: str) -> Iterator[Hosts]:
    with Hosts(postgres, is_remote=request.param) as hosts:
        yield hosts


@pytest.fixture(scope="package", params=[False, True], ids=["one host", "two hosts"])
def echo(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Hosts whose front says back what it is told."""
    with Hosts("echo", is_remote=request.param) as hosts:
        yield hosts

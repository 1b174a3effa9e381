"""Fixtures of the corpus: both databases as psql reaches them."""

from __future__ import annotations

import pytest

from borealis.host.postgres_settings import ADMIN, DATABASE
from borealis.host.server_tree import find_postgres
from tests.cluster import Cluster
from tests.sameness.script import Server
from tests.stock import StockServer


@pytest.fixture
def reference(stock: StockServer) -> Server:
    return Server(find_postgres() / "bin", "127.0.0.1", stock.port, ADMIN, DATABASE)


@pytest.fixture
def instances(cluster: Cluster) -> list[Server]:
    return servers_of(cluster)


def servers_of(cluster: Cluster) -> list[Server]:
    programs = find_postgres() / "bin"
    return [
        Server(programs, "127.0.0.1", cluster.port + number, ADMIN, DATABASE) for number in range(cluster.instances)
    ]

from __future__ import annotations

import pytest

from borealis.tls import ServerContext
from tests.certificates import Authority
from tests.unit.tls.memory_client import HOST


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def context(authority: Authority) -> ServerContext:
    certificate = authority.issue(HOST)
    return ServerContext(certificate.chain, certificate.key)

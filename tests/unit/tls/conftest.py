from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from borealis.tls import ServerContext
from tests.certificates import Authority, Certificate
from tests.unit.tls.memory_client import HOST


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    return authority.issue(HOST)


@pytest.fixture(scope="session")
def rsa_certificate(authority: Authority) -> Certificate:
    return authority.issue(HOST, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="session")
def context(certificate: Certificate) -> ServerContext:
    return ServerContext(certificate.chain, certificate.key)


@pytest.fixture(scope="session")
def rsa_context(rsa_certificate: Certificate) -> ServerContext:
    return ServerContext(rsa_certificate.chain, rsa_certificate.key)

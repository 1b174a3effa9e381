"""The local authority: certificates that OpenSSL's clients verify, renewed in time, keys that nobody else reads."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from borealis.host.certificates import (
    CERTIFICATE_VALID,
    RENEWED_BEFORE_END,
    ensure_certificate,
    keep_certificate,
    names_of_region,
    take_certificate,
)
from borealis.host.errors import HostError
from borealis.host.layout import CertificateFiles, DataDirectory
from borealis.host.settings import HostSettings

NOW = datetime.now(UTC)
NAMES = names_of_region("us-east-1", "localhost", "127.0.0.1")
CLUSTER = "a" * 26


def shake_hands(files: CertificateFiles, name: str) -> None:
    """A whole handshake in memory, the client verifying as `verify-full` does. Raises ssl.SSLError."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=files.authority)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=name)
    server = server_context.wrap_bio(up, down, server_side=True)
    waiting = [client, server, client, server]
    for side in waiting:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize(
    "name", [f"{CLUSTER}.dsql.us-east-1.localhost", "dsql.us-east-1.localhost", "localhost", "127.0.0.1", "::1"]
)
def test_every_cluster_and_the_api_are_named(tmp_path: Path, name: str) -> None:
    files = CertificateFiles(tmp_path)
    assert ensure_certificate(files, NAMES, NOW)
    shake_hands(files, name)


@pytest.mark.parametrize("name", [f"{CLUSTER}.dsql.eu-west-1.localhost", f"x.{CLUSTER}.dsql.us-east-1.localhost"])
def test_other_names_are_not(tmp_path: Path, name: str) -> None:
    files = CertificateFiles(tmp_path)
    ensure_certificate(files, NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(files, name)


def test_keys_are_private_and_certificates_are_not(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    ensure_certificate(files, NAMES, NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.key": 0o600, "server.key": 0o600, "ca.pem": 0o644, "server.pem": 0o644}


def test_a_certificate_is_renewed_before_it_ends_by_the_same_authority(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    ensure_certificate(files, NAMES, NOW)
    authority, first = files.authority.read_bytes(), files.certificate.read_bytes()
    soon = NOW + CERTIFICATE_VALID - RENEWED_BEFORE_END
    assert not ensure_certificate(files, NAMES, soon - timedelta(days=1))
    assert ensure_certificate(files, NAMES, soon)
    assert files.authority.read_bytes() == authority
    assert files.certificate.read_bytes() != first


def test_other_names_need_another_certificate(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    ensure_certificate(files, NAMES, NOW)
    assert ensure_certificate(files, names_of_region("eu-west-1", "db.example.com", "0.0.0.0"), NOW)
    found = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert named.get_values_for_type(x509.DNSName)[0] == "*.dsql.eu-west-1.db.example.com"


@pytest.mark.parametrize("damaged", ["server.key", "server.pem"])
def test_a_damaged_pair_is_replaced(tmp_path: Path, damaged: str) -> None:
    files = CertificateFiles(tmp_path)
    ensure_certificate(files, NAMES, NOW)
    (tmp_path / damaged).write_text("half a file")
    assert ensure_certificate(files, NAMES, NOW)
    shake_hands(files, "localhost")


def test_a_certificate_of_the_operators_own(tmp_path: Path) -> None:
    own, files = CertificateFiles(tmp_path / "own"), CertificateFiles(tmp_path)
    own.folder.mkdir()
    ensure_certificate(own, NAMES, NOW)
    assert take_certificate(files, own.certificate, own.key, None, NOW)
    assert not take_certificate(files, own.certificate, own.key, None, NOW)
    assert files.certificate.read_bytes() == own.certificate.read_bytes()
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_what_is_wrong_with_a_certificate_of_ones_own_is_said(tmp_path: Path) -> None:
    own, files = CertificateFiles(tmp_path / "own"), CertificateFiles(tmp_path)
    own.folder.mkdir()
    ensure_certificate(own, NAMES, NOW)
    with pytest.raises(HostError, match="not the key of"):
        take_certificate(files, own.certificate, own.authority_key, None, NOW)
    with pytest.raises(HostError, match="ended on"):
        take_certificate(files, own.certificate, own.key, None, NOW + CERTIFICATE_VALID)
    with pytest.raises(HostError, match=r"cannot read .*nowhere"):
        take_certificate(files, own.certificate, tmp_path / "nowhere", None, NOW)
    with pytest.raises(HostError, match="must be PEM"):
        take_certificate(files, own.key, own.certificate, None, NOW)
    assert not files.certificate.exists()


def keep_own(folder: Path, authority: Path) -> None:
    own = CertificateFiles(folder / "own")
    (folder / "data" / "certificates").mkdir(parents=True)
    own.folder.mkdir()
    ensure_certificate(own, NAMES, NOW)
    settings = HostSettings(folder / "data", certificate=own.certificate, key=own.key, authority=authority)
    keep_certificate(settings, DataDirectory(folder / "data", folder / "run"), None)


def test_what_is_wrong_with_an_authority_of_ones_own_is_said(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("no certificate")
    for number, (authority, problem) in enumerate([(nonsense, "must be a PEM file"), (tmp_path / "x", "cannot read")]):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(HostError, match=f"{problem}.*--authority"):
            keep_own(tmp_path / str(number), authority)

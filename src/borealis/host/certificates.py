"""The certificate that clients see, and the local authority that issues it.

Promises: `server.pem` and `server.key` belong together, name every cluster of the region and the API, and are valid for
a while longer when `ensure_certificate` returns; a file is replaced as a whole, keys are never readable by others. The
authority is made once and kept: clients that trust `ca.pem` trust every later certificate. An operator's own
certificate takes the place of the issued one. Assumes that the account of the host is assumed.
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from borealis.clusters.names import ClusterIdentifier, EndpointName, api_host
from borealis.host.account import Account, as_root
from borealis.host.errors import HostError
from borealis.host.layout import CertificateFiles, DataDirectory
from borealis.host.report import ShownCertificate
from borealis.host.settings import LOOPBACK, HostSettings

AUTHORITY_VALID = timedelta(days=3650)
# Some clients accept no more than 825 days.
CERTIFICATE_VALID = timedelta(days=397)
RENEWED_BEFORE_END = timedelta(days=30)
# Clocks of clients may be behind ours.
BACKDATED = timedelta(days=1)

# In place of an identifier, to try a certificate out.
_ANY = ClusterIdentifier("x" * 26)

# Where systems keep the authorities that they trust, should this Python not know.
SYSTEM_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def keep_certificate(
    settings: HostSettings, directory: DataDirectory, account: Account | None
) -> tuple[bool, ShownCertificate]:
    """The one of the settings, whichever that is, and whether there is a new one. Raises HostError when the operator's
    own cannot be used."""
    files = CertificateFiles(directory.certificates)
    address = settings.client_address
    api_hosts = [*(["localhost"] if address == LOOPBACK else []), address, api_host(settings.region, settings.domain)]
    if settings.certificate is not None and settings.key is not None:
        is_new = take_certificate(files, settings.certificate, settings.key, account, now_utc())
        write_trust(files, _read_authority(settings.authority or files.certificate, account), account)
        return is_new, judge_certificate(files, EndpointName(_ANY, settings.region, settings.domain), api_hosts)
    is_new = ensure_certificate(files, names_of_region(settings.region, settings.domain, settings.listen), now_utc())
    write_trust(files, files.authority.read_bytes(), account)
    return is_new, ShownCertificate(files.authority, api_hosts[0], None)


def names_of_region(region: str, domain: str, listen: str) -> list[x509.GeneralName]:
    """Every cluster of the region, its API, and this machine as clients may call it."""
    service = f"dsql.{region}.{domain}"
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in (f"*.{service}", service, "localhost")]
    addresses = dict.fromkeys([ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"), *_address(listen)])
    return names + [x509.IPAddress(address) for address in addresses]


def _address(listen: str) -> Sequence[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address that is listened to, if it is one that clients can name."""
    try:
        address = ipaddress.ip_address(listen)
    except ValueError:
        return ()
    return () if address.is_unspecified else (address,)


def ensure_certificate(files: CertificateFiles, names: list[x509.GeneralName], now: datetime) -> bool:
    """Makes what is missing, and renews what ends soon or has other names. True when the certificate is new."""
    authority, authority_key = _ensure_authority(files, now)
    if _is_current(files, authority, names, now):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Borealis")]),
        key.public_key(),
        authority.subject,
        authority_key,
        now,
        CERTIFICATE_VALID,
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(names), False),
        ],
    )
    _replace_pair(files, certificate.public_bytes(serialization.Encoding.PEM), _encode_key(key))
    return True


def take_certificate(
    files: CertificateFiles, certificate: Path, key: Path, account: Account | None, now: datetime
) -> bool:
    """Puts the operator's own certificate in place. True when it is another one than before. Raises HostError when it
    cannot be used."""
    try:
        with as_root(account):
            chain, secret = certificate.read_bytes(), key.read_bytes()
    except OSError as error:
        raise HostError(f"cannot read {error.filename}: {error.strerror}; see --certificate and --key") from error
    try:
        found = x509.load_pem_x509_certificates(chain)[0]
        loaded = serialization.load_pem_private_key(secret, password=None)
    except (ValueError, TypeError, IndexError) as error:
        raise HostError(f"{certificate} and {key} must be PEM files, the key without a password") from error
    if loaded.public_key() != found.public_key():
        raise HostError(f"{key} is not the key of {certificate}")
    if found.not_valid_after_utc <= now:
        raise HostError(f"{certificate} ended on {found.not_valid_after_utc:%Y-%m-%d}")
    if _read(files.certificate) == chain and _read(files.key) == secret:
        return False
    _replace_pair(files, chain, secret)
    return True


def judge_certificate(files: CertificateFiles, endpoint: EndpointName, api_hosts: Sequence[str]) -> ShownCertificate:
    """Of the operator's own: as a client sees it that trusts `files.trust`. The API has several names; the first under
    which it is accepted is the one to be told."""
    problem = _why_refused(files, str(endpoint))
    accepted = next((host for host in api_hosts if _why_refused(files, host) is None), None)
    if problem is not None:
        problem = f"clients do not accept the certificate for {str(endpoint).replace(_ANY, '<id>')}: {problem}"
    elif accepted is None:
        problem = f"clients do not accept the certificate for the API; it should name one of {', '.join(api_hosts)}"
    if problem is not None:
        problem += "; see --certificate and --authority"
    return ShownCertificate(files.trust, accepted or api_hosts[0], problem)


def _why_refused(files: CertificateFiles, name: str) -> str | None:
    """By a client that wants to reach `name`; None when it goes on."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.trust)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)
    for side in (*sides, sides[0]):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except ssl.SSLError as error:
            return str(error)
    return None


def _read_authority(path: Path, account: Account | None) -> bytes:
    try:
        with as_root(account):
            content = path.read_bytes()
        x509.load_pem_x509_certificates(content)
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}; see --authority") from error
    except ValueError as error:
        raise HostError(f"{path} must be a PEM file of certificates; see --authority") from error
    return content


def write_trust(files: CertificateFiles, authority: bytes, account: Account | None) -> None:
    with as_root(account):
        system = ssl.get_default_verify_paths().cafile or next(
            (path for path in SYSTEM_AUTHORITIES if os.path.exists(path)), None
        )
        trusted = _read(Path(system)) if system is not None else None
    content = (trusted or b"") + b"\n" + authority
    if _read(files.trust) != content:
        _replace(files.trust, content, 0o644)


def _ensure_authority(files: CertificateFiles, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    secret, found = _read(files.authority_key), _read(files.authority)
    if secret is not None and found is not None:
        key = serialization.load_pem_private_key(secret, password=None)
        authority = x509.load_pem_x509_certificate(found)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
            raise HostError(f"{files.authority_key} is not the key of {files.authority}; remove both for new ones")
        if now < authority.not_valid_after_utc - CERTIFICATE_VALID:
            return authority, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Borealis local authority {now:%Y-%m-%d}")])
    usage = (_key_usage(key_cert_sign=True), True)
    constraints = (x509.BasicConstraints(ca=True, path_length=0), True)
    authority = _sign(name, key.public_key(), name, key, now, AUTHORITY_VALID, [constraints, usage])
    # The key first: an authority whose key was lost could not be told from one that works.
    _replace(files.authority_key, _encode_key(key), 0o600)
    _replace(files.authority, authority.public_bytes(serialization.Encoding.PEM), 0o644)
    return authority, key


def _is_current(
    files: CertificateFiles, authority: x509.Certificate, names: list[x509.GeneralName], now: datetime
) -> bool:
    found, secret = _read(files.certificate), _read(files.key)
    if found is None or secret is None:
        return False
    try:
        certificate = x509.load_pem_x509_certificate(found)
        certificate.verify_directly_issued_by(authority)
        key = serialization.load_pem_private_key(secret, password=None)
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # whatever is wrong with the files: a new certificate puts it right
        return False
    return (
        key.public_key() == certificate.public_key()
        and list(named) == names
        and now < certificate.not_valid_after_utc - RENEWED_BEFORE_END
    )


def _sign(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    valid: timedelta,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace_pair(files: CertificateFiles, certificate: bytes, key: bytes) -> None:
    """A crash in between leaves a pair that does not match, which the next start finds and replaces."""
    _replace(files.key, key, 0o600)
    _replace(files.certificate, certificate, 0o644)


def _replace(path: Path, content: bytes, permissions: int) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(draft, permissions)
    draft.rename(path)


def now_utc() -> datetime:
    return datetime.now(UTC)

"""How a client reaches a cluster that runs here: endpoint, authority, credentials of the built-in administrator.

Reads the data directory as its owner or root: whoever can do that is the operator, and may see the administrator's key.
"""

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from borealis.clusters.names import ClusterIdentifier, EndpointName, InvalidName, parse_identifier
from borealis.clusters.view import ClusterView
from borealis.foundation.clock import SystemClock
from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.host.layout import CertificateFiles, DataDirectory, open_layout
from borealis.host.report import HostReport, read_report
from borealis.iam import IamStore, sigv4
from borealis.iam.records import NewAccessKey

DATABASE = "postgres"
ADMIN = "admin"
TOKEN_S_DEFAULT = 900
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Access:
    """`address` is None when the endpoint's name leads there by itself. `authority` is what the certificate can be
    verified with. `key` prints without its secret."""

    endpoint: EndpointName
    address: str | None
    port: int
    api_url: str
    authority: Path
    files: CertificateFiles
    key: NewAccessKey

    def token(self, user: str, lifetime_s: int) -> str:
        """A password for the user. Only `admin` takes a token for DbConnectAdmin, and it takes no other."""
        action = "DbConnectAdmin" if user == ADMIN else "DbConnect"
        now_s = SystemClock().now() // NANOSECONDS_PER_SECOND
        return make_token(self.key, str(self.endpoint), self.endpoint.region, action, now_s, lifetime_s)


def find_access(data: Path, cluster: str | None) -> Access:
    """Raises Unavailable when nothing runs on the data directory, or no such cluster is known."""
    directory = open_layout(data)
    report = read_report(directory)
    if report is None:
        raise Unavailable(f"nothing runs on {data}; start it with borealis up --data {data}")
    return describe_access(directory, report, choose_cluster(directory, report, cluster))


def choose_cluster(directory: DataDirectory, report: HostReport, wanted: str | None) -> ClusterIdentifier:
    """The one that is wanted (its identifier or its endpoint's name), else the first, else the oldest."""
    view = ClusterView(directory.control / "clusters.sqlite")
    if wanted is not None:
        try:
            identifier = EndpointName.parse(wanted).identifier if "." in wanted else parse_identifier(wanted)
        except InvalidName as error:
            raise Unavailable(f"{wanted}: {error}") from error
        if view.get(identifier) is None:
            raise Unavailable(f"there is no cluster {identifier}; borealis cluster list shows what there is")
        return identifier
    if report.first_cluster is not None and view.get(ClusterIdentifier(report.first_cluster)) is not None:
        return ClusterIdentifier(report.first_cluster)
    oldest = next(iter(view.every()), None)
    if oldest is None:
        raise Unavailable("there is no cluster; borealis cluster create makes one")
    return oldest.identifier


def describe_access(directory: DataDirectory, report: HostReport, cluster: ClusterIdentifier) -> Access:
    endpoint = EndpointName(cluster, report.region, report.domain)
    address = LOOPBACK if is_everywhere(report.listen) else report.listen
    with IamStore.open(directory.control, secrets.token_bytes) as store:
        key = store.administrator_key()
    return Access(
        endpoint,
        None if resolves_to(str(endpoint), address) else address,
        report.port,
        f"https://{f'[{report.api_host}]' if ':' in report.api_host else report.api_host}:{report.api_port}",
        Path(report.authority),
        CertificateFiles(directory.certificates),
        key,
    )


def is_everywhere(listen: str) -> bool:
    try:
        return ipaddress.ip_address(listen).is_unspecified
    except ValueError:
        return False


def resolves_to(name: str, address: str) -> bool:
    try:
        # As bytes: for a text Python would load a codec, which the account of the host may not be able to read.
        found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
        return any(each[4][0] == address for each in found)
    except OSError:
        return False


def make_token(key: NewAccessKey, host: str, region: str, action: str, now_s: int, lifetime_s: int) -> str:
    """As `generate_db_connect_auth_token` of the AWS SDKs makes it: a presigned GET of the endpoint without `https://`."""
    date = sigv4.format_date(now_s)
    scope = sigv4.Scope(date[:8], region, "dsql")
    query = sigv4.canonical_query(
        [
            ("Action", action),
            ("X-Amz-Algorithm", sigv4.ALGORITHM),
            ("X-Amz-Credential", f"{key.id}/{scope}"),
            ("X-Amz-Date", date),
            ("X-Amz-Expires", str(lifetime_s)),
            ("X-Amz-SignedHeaders", "host"),
        ]
    )
    request = sigv4.canonical_request("GET", "/", query, [("host", host)], "host", sigv4.EMPTY_SHA256)
    signature = sigv4.SigningSecret(key.secret.reveal()).sign(scope, sigv4.string_to_sign(date, scope, request))
    return f"{host}/?{query}&X-Amz-Signature={signature}"

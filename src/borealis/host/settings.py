"""What `borealis up` is told."""

from dataclasses import dataclass
from pathlib import Path

from borealis.clusters.names import ACCOUNT_DEFAULT, DOMAIN_DEFAULT, REGION_DEFAULT

LOOPBACK = "127.0.0.1"
INSTANCES_MAX = 100
# Sessions of all instances of a cluster together: storage's map has 1,024 reader slots, and each instance needs a few
# for itself.
SESSIONS_MAX = 1000
TRANSACTION_AGE_LIMIT_S_MAX = 86_400


@dataclass(frozen=True)
class HostSettings:
    data: Path
    # The one port of all clusters' clients, and that of the API.
    port: int = 5432
    api_port: int = 8006
    listen: str = LOOPBACK
    # The first port on loopback where instances of the first cluster take connections without TLS and password.
    direct_port: int | None = None
    account: str = ACCOUNT_DEFAULT
    region: str = REGION_DEFAULT
    domain: str = DOMAIN_DEFAULT
    # Keeps the names of clusters, for machines whose resolver does not know them: /etc/hosts.
    hosts: Path | None = None
    # The operator's own; else one is issued by the local authority.
    certificate: Path | None = None
    key: Path | None = None
    # What clients verify it with, where its chain and the system do not tell.
    authority: Path | None = None
    # How many clusters an account may have.
    clusters_max: int = 20
    # For each cluster: connections that it holds, that it takes per second, and at once.
    connection_limit: int = 10_000
    connection_rate: int = 100
    connection_burst: int = 1000
    # For each cluster.
    instances: int = 1
    # For each instance: how many backends it may have.
    connections_max: int = 100
    # Blank clusters that are started ahead of demand.
    spares: int = 0
    # A cluster without a session for so long is stopped until its next connection; None: never.
    sleep_after_s: int | None = 3600
    # How long a transaction may take.
    transaction_age_limit_s: int = 300
    # More settings for postgresql.conf; those that the host itself decides are refused.
    postgres: tuple[tuple[str, str], ...] = ()

    @property
    def client_address(self) -> str:
        """Where clients on this machine reach what is listened to."""
        return LOOPBACK if self.listen in ("0.0.0.0", "::") else self.listen

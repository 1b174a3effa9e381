"""What must be known before the control plane keeps the metadata itself: the administrator and the first cluster.

Assumes that nothing else writes the metadata: it is called before the control service starts.
"""

import secrets
from contextlib import closing

from borealis.clusters import Cluster, ClusterIdentifier, ClusterStatus, Installation
from borealis.clusters.store import ClusterStore
from borealis.foundation.identifiers import Timestamp
from borealis.host.layout import DataDirectory
from borealis.host.settings import HostSettings
from borealis.iam import IamStore

FIRST_CLUSTER_TAGS = {"Name": "first"}


def install_administrator(settings: HostSettings, data: DataDirectory, now: Timestamp) -> None:
    """The account, its administrator and the policies that come with the product, where they are missing."""
    with IamStore.open(data.control, secrets.token_bytes) as store:
        store.install(settings.account, now)


def introduce_first_cluster(
    settings: HostSettings, data: DataDirectory, first: ClusterIdentifier | None, now: Timestamp
) -> None:
    """The cluster that the host made with the data directory becomes one like those that are created later."""
    installation = Installation(settings.account, settings.region, settings.domain)
    with closing(ClusterStore(data.control / "clusters.sqlite", installation)) as store:
        if first is None or store.get(first) is not None:
            return
        cluster = Cluster(
            identifier=first,
            account=settings.account,
            region=settings.region,
            domain=settings.domain,
            status=ClusterStatus.ACTIVE,
            creation_time=now,
            deletion_protection=False,
            tags=FIRST_CLUSTER_TAGS,
        )
        with store.transaction():
            store.add(cluster)

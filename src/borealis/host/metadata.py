"""What must be known of the first cluster before the control plane keeps the metadata itself.

Assumes that nothing else writes the metadata: it is called before the control service starts.
"""

from contextlib import closing

from borealis.clusters import Cluster, ClusterIdentifier, ClusterStatus, ClusterStore, Installation
from borealis.foundation.identifiers import Timestamp
from borealis.host.layout import DataDirectory
from borealis.host.settings import HostSettings

FIRST_CLUSTER_TAGS = {"Name": "first"}


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

"""The clusters of one installation: what they are called and what is known of them.

A library. `names` holds identifiers, ARNs and endpoint names. The control service keeps the metadata (`ClusterStore`);
the relay and the command line look at it (`ClusterView`) and see each change at once, without asking anybody.
"""

from borealis.clusters.cluster import Cluster, ClusterStatus, Installation
from borealis.clusters.names import ClusterIdentifier
from borealis.clusters.store import ClusterStore
from borealis.clusters.view import ClusterView

__all__ = ["Cluster", "ClusterIdentifier", "ClusterStatus", "ClusterStore", "ClusterView", "Installation"]

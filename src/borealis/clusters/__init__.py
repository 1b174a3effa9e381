"""The clusters of one installation: what they are called and what is known of them.

A library. `names` holds identifiers, ARNs and endpoint names. The control service keeps the metadata
(`store.ClusterStore`); the relay and the command line look at it (`view.ClusterView`) and see each change at once,
without asking anybody. Who needs the names alone imports no database.
"""

from borealis.clusters.cluster import Cluster, ClusterStatus, Installation
from borealis.clusters.names import ClusterIdentifier

__all__ = ["Cluster", "ClusterIdentifier", "ClusterStatus", "Installation"]

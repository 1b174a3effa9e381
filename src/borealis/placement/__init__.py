"""Placement: which front takes a session of a cluster, and how to ask the host for what it runs.

A library of the services beside the host. `placement.Placement` answers from memory, which the host keeps current over
its control socket, and asks only for clusters that sleep; `host_client.HostClient` gives the host orders about whole
clusters. Both go on by themselves when the host's end of the socket comes back. Assumes the same machine and the host's
own account. The values are the host's as well, which has no use for the clients and does not import them.
"""

from borealis.placement.messages import ClusterState
from borealis.placement.table import FrontAddress, FrontId, UnknownCluster

__all__ = ["ClusterState", "FrontAddress", "FrontId", "UnknownCluster"]

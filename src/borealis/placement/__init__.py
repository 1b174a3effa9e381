"""Placement: which front takes a session of a cluster, and how to ask the host for what it runs.

A library of the services beside the host. `Placement` answers from memory, which the host keeps current over its
control socket, and asks only for clusters that sleep; `HostClient` gives the host orders about whole clusters. Both go
on by themselves when the host's end of the socket comes back. Assumes the same machine and the host's own account.
"""

from borealis.placement.host_client import ClusterState, HostClient, HostedCluster
from borealis.placement.placement import Placement
from borealis.placement.table import FrontAddress, FrontId, UnknownCluster

__all__ = ["ClusterState", "FrontAddress", "FrontId", "HostClient", "HostedCluster", "Placement", "UnknownCluster"]

"""Orders about whole clusters, for the control plane and the command line."""

from dataclasses import dataclass
from pathlib import Path

from borealis.foundation.errors import Malformed
from borealis.placement.connection import HostConnection
from borealis.placement.messages import ClusterState, Fields, decode_fronts, is_cluster_name
from borealis.placement.table import FrontAddress


@dataclass(frozen=True)
class HostedCluster:
    """`sessions` is what its fronts hold, `problem` why its last start failed, if it did."""

    cluster: str
    state: ClusterState
    fronts: tuple[FrontAddress, ...]
    sessions: int
    problem: str | None


class HostClient:
    """Every order raises Unavailable with the reason when it cannot be carried out. Use within one event loop."""

    def __init__(self, host_socket: Path) -> None:
        self._connection = HostConnection(host_socket)

    async def ahead(self) -> list[str]:
        """Names of clusters that were started ahead, the readiest first. Whoever wants one stores its name before it
        asks for it: otherwise a crash in between would leave a cluster that nobody knows."""
        answer = await self._connection.ask("list")
        return [str(name) for name in answer.get("ahead", ()) if is_cluster_name(name)]

    async def create(self, cluster: str | None = None) -> str:
        """A new, empty cluster. Without a name, or with one of `ahead`, it is one that was started ahead, and ready at
        once; the name is the answer. Returns when it takes connections."""
        answer = await self._connection.ask("create", cluster)
        name = answer.get("cluster")
        if not is_cluster_name(name):
            raise Malformed("the host names no cluster")
        return str(name)

    async def start(self, cluster: str) -> tuple[FrontAddress, ...]:
        """Wakes the cluster; returns when it takes connections, at once when it did already."""
        answer = await self._connection.ask("start", cluster)
        return decode_fronts(cluster, answer.get("fronts"))

    async def stop(self, cluster: str) -> None:
        """Ends its processes in order; the next connection wakes it. Returns when the last has ended."""
        await self._connection.ask("stop", cluster)

    async def delete(self, cluster: str) -> None:
        """Ends its processes and removes everything that it stored. Deleting what is not there is no error."""
        await self._connection.ask("delete", cluster)

    async def list(self) -> list[HostedCluster]:
        """Every cluster on this host but those started ahead."""
        answer = await self._connection.ask("list")
        return [_decode_cluster(fields) for fields in answer["clusters"]]

    async def close(self) -> None:
        await self._connection.close()


def _decode_cluster(fields: Fields) -> HostedCluster:
    match fields:
        case {"cluster": str(cluster), "state": str(state), "fronts": fronts, "sessions": int(sessions)}:
            problem = fields.get("problem")
            return HostedCluster(
                cluster,
                ClusterState(state),
                decode_fronts(cluster, fronts),
                sessions,
                None if problem is None else str(problem),
            )
    raise Malformed("the host describes no cluster")

"""What a cluster runs: its transaction service, storage, instances and fronts, as programs in stages."""

from collections.abc import Sequence
from dataclasses import dataclass

from borealis.clusters.names import ClusterIdentifier
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.host.account import Account
from borealis.host.layout import ClusterDirectory, DataDirectory
from borealis.host.postgres_settings import InstanceSettings
from borealis.host.programs import Instance, Program, Service
from borealis.host.server_tree import ServerTree
from borealis.host.settings import HostSettings
from borealis.placement import FrontAddress, FrontId
from borealis.placement.table import FRONT_ID_MAX

# Instances listen on a socket in a folder of their own; the number is only part of its name.
SOCKET_PORT = 5432


@dataclass(frozen=True)
class ClusterPrograms:
    """`stages` in the order in which they start; `fronts` by the name of the program that serves them."""

    directory: ClusterDirectory
    stages: Sequence[Sequence[Program]]
    fronts: dict[str, FrontAddress]


class FrontIds:
    """Gives each front of the host an id of its own, for as long as its cluster is awake."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._last = 0

    def take(self) -> FrontId:
        """Round and round, so that a cancel request for sessions of the past meets nobody else for long."""
        for offset in range(FRONT_ID_MAX):
            number = (self._last + offset) % FRONT_ID_MAX + 1
            if number not in self._used:
                self._used.add(number)
                self._last = number
                return FrontId(number)
        raise RuntimeError("more fronts than can be told apart")

    def give_back(self, front: FrontId) -> None:
        self._used.discard(front)


class ClusterPlan:
    """Makes the programs of any cluster of this host."""

    def __init__(
        self,
        settings: HostSettings,
        data: DataDirectory,
        tree: ServerTree,
        fingerprint: str,
        boot_id: str,
        account: Account | None,
    ) -> None:
        self._settings = settings
        self._data = data
        self._tree = tree
        self._fingerprint = fingerprint
        self._boot_id = boot_id
        self._account = account
        self._ids = FrontIds()

    def make(self, cluster: ClusterIdentifier, direct_port: int | None) -> ClusterPrograms:
        """`direct_port`: the first of the ports on loopback that its instances open, if they do."""
        directory = self._data.cluster(cluster)
        age_s = self._settings.transaction_age_limit_s
        where = (f"--data={directory.root}", f"--run={directory.run}")
        age = f"--transaction-age-max={age_s}"
        transactions = self._service(directory, "transactions", "borealis.adjudicator", *where, age)
        # Storage keeps versions as long as a transaction can need them.
        age = f"--set=transaction_age_max_ns={age_s * NANOSECONDS_PER_SECOND}"
        storage = self._service(directory, "storage", "borealis.storage", *where, age)
        instances = [
            self._instance(directory, number, direct_port) for number in range(1, self._settings.instances + 1)
        ]
        fronts, addresses = self._fronts(directory, instances)
        return ClusterPrograms(directory, [[transactions, storage], instances, fronts], addresses)

    def release(self, programs: ClusterPrograms) -> None:
        """The cluster sleeps: its fronts' ids are free."""
        for front in programs.fronts.values():
            self._ids.give_back(front.front_id)

    def _service(
        self, directory: ClusterDirectory, role: str, module: str, *settings: str, is_eager: bool = False
    ) -> Service:
        name = f"{directory.identifier}/{role}"
        log = directory.log / f"{role}.log"
        return Service(name, module, log, self._account, *settings, is_eager=is_eager)

    def _fronts(
        self, directory: ClusterDirectory, instances: Sequence[Instance]
    ) -> tuple[list[Service], dict[str, FrontAddress]]:
        """One for each instance. They wait for their instance by themselves, so they may import meanwhile."""
        fronts: list[Service] = []
        addresses: dict[str, FrontAddress] = {}
        for number, instance in enumerate(instances, 1):
            folder, front_id = directory.instance(number), self._ids.take()
            front = self._service(
                directory,
                f"front-{number}",
                "borealis.front",
                f"--listen={folder.front_socket}",
                f"--postgres={folder.socket}",
                f"--port={instance.port}",
                f"--front-id={front_id}",
                f"--cluster={directory.identifier}",
                f"--places={directory.places}",
                f"--transactions={directory.transactions_page}",
                f"--number={number}",
                f"--set=cluster_sessions_max={self._settings.connection_limit}",
                is_eager=True,
            )
            fronts.append(front)
            addresses[front.name] = FrontAddress(front_id, directory.identifier, folder.front_socket)
        return fronts, addresses

    def _instance(self, directory: ClusterDirectory, number: int, direct_port: int | None) -> Instance:
        folder = directory.instance(number)
        settings = InstanceSettings(
            number=number,
            port=SOCKET_PORT if direct_port is None else direct_port + number - 1,
            is_direct=direct_port is not None,
            connections_max=self._settings.connections_max,
            run=directory.run,
            storage_map=directory.storage_map,
            socket=folder.socket,
            extension=self._tree.extension,
            transaction_age_limit_s=self._settings.transaction_age_limit_s,
            chosen=self._settings.postgres,
        )
        return Instance(
            f"{directory.identifier}/instance-{number}",
            folder,
            settings,
            self._data.seed,
            self._fingerprint,
            self._boot_id,
            self._tree,
            self._account,
        )

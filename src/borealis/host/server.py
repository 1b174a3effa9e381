"""The host: gives clusters their processes when they are needed, and takes orders on its control socket.

The shell between what decides (the fleet: which cluster; supervision: which process) and what acts (the process tree,
the files of clusters, the socket).
"""

import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from borealis.clusters.names import ClusterIdentifier, EndpointName, api_host, make_identifier
from borealis.host.cluster_programs import ClusterPlan, ClusterPrograms
from borealis.host.control_socket import ControlSocket
from borealis.host.errors import HostError
from borealis.host.fleet import (
    ClaimSpare,
    Done,
    Fleet,
    FleetEffect,
    MakeSpare,
    Refuse,
    RemoveFiles,
    StartCluster,
    StopCluster,
    Ticket,
)
from borealis.host.hosts_file import HostsFile
from borealis.host.layout import DataDirectory
from borealis.host.process_tree import ProcessTree
from borealis.host.programs import Program
from borealis.host.report import HostReport, ProcessReport, ShownCertificate, write_report
from borealis.host.settings import HostSettings
from borealis.placement import FrontAddress
from borealis.placement.messages import Fields, Request, encode_fronts

# The group of what serves all clusters.
SERVICES = "services"
CERTIFICATE_CHECK_S = 12 * 3600.0
# Peer of requests that the host makes itself.
SELF = Ticket(0, 0)


class Announcer(Protocol):
    """How the operator hears of what happens."""

    def ready(self, report: HostReport) -> None:
        """Clients can come: everything that was to be started has been."""

    def event(self, text: str) -> None: ...


class Certificate(Protocol):
    shown: ShownCertificate

    def keep(self) -> bool:
        """Renews it when it is time. True when it is another one now."""


class Host:
    """Runs until it is told to stop. Assumes that the account is assumed and the data directory locked."""

    def __init__(
        self,
        settings: HostSettings,
        data: DataDirectory,
        tree: ProcessTree,
        plan: ClusterPlan,
        services: Sequence[Program],
        first: ClusterIdentifier | None,
        certificate: Certificate,
        hosts: HostsFile,
        announcer: Announcer,
    ) -> None:
        self._settings = settings
        self._data = data
        self._tree = tree
        self._plan = plan
        self._services = services
        self._first = first
        self._certificate = certificate
        self._hosts = hosts
        self._named: set[ClusterIdentifier] = set()
        self._certificate_check = time.monotonic() + CERTIFICATE_CHECK_S
        self._announcer = announcer
        self._fleet = Fleet(spares=settings.spares, sleep_after_s=settings.sleep_after_s)
        self._socket = ControlSocket(data.host_socket, tree.selector, self._take_request)
        self._running: dict[ClusterIdentifier, ClusterPrograms] = {}
        self._sessions: dict[str, int] = {}
        # What watchers were told last, and what must be ready before the operator is told.
        self._told: dict[ClusterIdentifier, list[FrontAddress]] = {}
        self._awaited: set[str] = set()

    def run(self) -> bool:
        """True when it ended because it was asked to."""
        try:
            return self._tree.run(self, self._begin)
        finally:
            self._socket.close()
            self._data.processes.unlink(missing_ok=True)
            with suppress(HostError):
                self._hosts.write({})

    def _begin(self) -> None:
        self._empty_trash()
        spares = []
        for directory in self._data.clusters():
            if directory.spare_mark.exists():
                spares.append(directory.identifier)
            else:
                self._fleet.add(directory.identifier)
        self._name_clusters()
        self._awaited = {SERVICES} if self._services else set()
        if self._services:
            self._tree.start_group(SERVICES, [self._services], is_vital=True, is_outer=True)
        if self._first is not None:
            self._awaited.add(self._first)
            if self._settings.direct_port is not None:
                self._fleet.keep_awake(self._first)
            self._carry_out(self._fleet.start(SELF, self._first, time.monotonic()))
        # A spare of before may be of another server or half made; a new one costs as much.
        for identifier in spares:
            self._remove_files(identifier)
        self._fleet.begin(time.monotonic())

    # What the process tree tells

    def group_ready(self, group: str) -> None:
        if group != SERVICES:
            cluster = ClusterIdentifier(group)
            self._carry_out(self._fleet.ready(cluster, time.monotonic()))
            self._tell_fronts(cluster)
        if group in self._awaited:
            self._awaited.discard(group)
            if not self._awaited:
                self._announcer.ready(self._describe())

    def group_ended(self, group: str, problem: str | None) -> None:
        if group == SERVICES:
            return
        cluster = ClusterIdentifier(group)
        programs = self._running.pop(cluster)
        self._plan.release(programs)
        for front in programs.fronts:
            self._sessions.pop(front, None)
        self._tell_fronts(cluster)
        self._carry_out(self._fleet.ended(cluster, problem, time.monotonic()))

    def changed(self) -> None:
        for cluster in list(self._running):
            self._tell_fronts(cluster)
        # On a full disk the report is old; the services have their own ways to live with one.
        with suppress(OSError):
            write_report(self._data.processes, self._describe())

    def said(self, program: str, line: str) -> None:
        """Fronts tell how many sessions they hold."""
        word, _, count = line.partition(" ")
        cluster = ClusterIdentifier(program.partition("/")[0])
        running = self._running.get(cluster)
        if word == "sessions" and count.isdecimal() and running is not None and program in running.fronts:
            self._sessions[program] = int(count)
            self._fleet.sessions(cluster, self._count_sessions(cluster), time.monotonic())

    def event(self, text: str) -> None:
        self._announcer.event(text)

    @property
    def deadline(self) -> float | None:
        fleet = self._fleet.deadline
        return self._certificate_check if fleet is None else min(fleet, self._certificate_check)

    def tick(self, now: float) -> None:
        self._carry_out(self._fleet.tick(now))
        if now >= self._certificate_check:
            self._certificate_check = now + CERTIFICATE_CHECK_S
            self._check_certificate()

    def _check_certificate(self) -> None:
        try:
            if self._certificate.keep():
                self._announcer.event("the certificate is a new one")
                if self._certificate.shown.problem:
                    self._announcer.event(self._certificate.shown.problem)
                for service in self._services:
                    self._tree.send_signal(service.name, signal.SIGHUP)
        except HostError as error:
            self._announcer.event(str(error))

    # What peers ask

    def _take_request(self, peer: int, request: Request) -> None:
        ticket, now = Ticket(peer, request.number), time.monotonic()
        cluster = None if request.cluster is None else ClusterIdentifier(request.cluster)
        match request.operation, cluster:
            case "create", _:
                self._carry_out(self._fleet.create(ticket, cluster, make_identifier(), now))
            case "start", str():
                self._carry_out(self._fleet.start(ticket, cluster, now))
            case "stop", str():
                self._carry_out(self._fleet.stop(ticket, cluster))
            case "delete", str():
                self._carry_out(self._fleet.delete(ticket, cluster))
            case "list", _:
                clusters = [self._describe_cluster(member.cluster) for member in self._fleet.members()]
                ahead = [spare.cluster for spare in self._fleet.spares()]
                self._socket.send(peer, {"id": request.number, "clusters": clusters, "ahead": ahead})
            case "watch", _:
                self._socket.watch(peer)
                for awake, fronts in self._told.items():
                    self._socket.send(peer, encode_event(awake, fronts))
                self._socket.send(peer, {"id": request.number})

    # What the fleet decides

    def _carry_out(self, effects: Sequence[FleetEffect]) -> None:
        for effect in effects:
            match effect:
                case StartCluster(cluster, is_new, is_spare):
                    self._start(cluster, is_new=is_new, is_spare=is_spare)
                case StopCluster(cluster):
                    self._tree.stop_group(cluster)
                case ClaimSpare(cluster):
                    self._data.cluster(cluster).spare_mark.unlink(missing_ok=True)
                case RemoveFiles(cluster):
                    self._remove_files(cluster)
                case MakeSpare():
                    self._carry_out(self._fleet.add_spare(make_identifier()))
                case Done(ticket, cluster):
                    # Whoever is told of a new cluster can reach it.
                    self._check_names()
                    fronts = encode_fronts(self._ready_fronts(cluster))
                    self._socket.send(ticket.peer, {"id": ticket.number, "cluster": cluster, "fronts": fronts})
                case Refuse(ticket, code, text):
                    self._socket.send(ticket.peer, {"id": ticket.number, "error": code, "text": text})

    def _check_names(self) -> None:
        if {member.cluster for member in self._fleet.members()} != self._named:
            try:
                self._name_clusters()
            except HostError as error:
                self._announcer.event(str(error))

    def _name_clusters(self) -> None:
        self._named = {member.cluster for member in self._fleet.members()}
        settings = self._settings
        endpoints = [EndpointName(cluster, settings.region, settings.domain) for cluster in sorted(self._named)]
        names = [api_host(settings.region, settings.domain), *map(str, endpoints)]
        self._hosts.write(dict.fromkeys(names, settings.client_address))

    def _start(self, cluster: ClusterIdentifier, *, is_new: bool, is_spare: bool) -> None:
        directory = self._data.cluster(cluster)
        try:
            if is_new:
                directory.root.mkdir()
            if is_spare:
                # Before anything else is there: what has the mark is blank.
                directory.spare_mark.touch()
            directory.create()
        except OSError as error:
            problem = f"cannot use {directory.root}: {error.strerror}"
            if cluster in self._awaited:
                raise HostError(problem) from error
            self._carry_out(self._fleet.ended(cluster, problem, time.monotonic()))
            return
        direct_port = self._settings.direct_port if cluster == self._first else None
        programs = self._plan.make(cluster, direct_port)
        self._running[cluster] = programs
        self._tree.start_group(cluster, programs.stages, is_vital=cluster in self._awaited)

    def _remove_files(self, cluster: ClusterIdentifier) -> None:
        """Gone at once for everybody who looks; the bytes follow."""
        directory = self._data.cluster(cluster)
        shutil.rmtree(directory.run, ignore_errors=True)
        with suppress(FileNotFoundError):
            directory.root.rename(self._data.trash / cluster)
        self._empty_trash()

    def _empty_trash(self) -> None:
        if any(self._data.trash.iterdir()):
            self._tree.run_chore(["/bin/sh", "-c", 'rm -rf -- "$1"/*', "sh", self._data.trash])

    # What is told

    def _ready_fronts(self, cluster: ClusterIdentifier) -> list[FrontAddress]:
        programs = self._running.get(cluster)
        if programs is None:
            return []
        return [address for name, address in programs.fronts.items() if self._tree.is_ready(name)]

    def _tell_fronts(self, cluster: ClusterIdentifier) -> None:
        fronts = self._ready_fronts(cluster)
        if self._told.get(cluster, []) == fronts:
            return
        if fronts:
            self._told[cluster] = fronts
        else:
            self._told.pop(cluster, None)
        self._socket.tell_watchers(encode_event(cluster, fronts))
        self._carry_out(self._fleet.served(cluster, is_served=bool(fronts)))

    def _count_sessions(self, cluster: ClusterIdentifier) -> int:
        programs = self._running.get(cluster)
        return sum(self._sessions.get(front, 0) for front in programs.fronts) if programs else 0

    def _describe_cluster(self, cluster: ClusterIdentifier) -> Fields:
        member = self._fleet.member(cluster)
        return {
            "cluster": cluster,
            "state": str(member.state),
            "fronts": encode_fronts(self._ready_fronts(cluster)),
            "sessions": self._count_sessions(cluster),
            "problem": member.problem,
        }

    def _describe(self) -> HostReport:
        programs: list[tuple[ClusterIdentifier | None, Program]] = [(None, program) for program in self._services]
        for cluster, running in self._running.items():
            programs += [(cluster, program) for stage in running.stages for program in stage]
        return HostReport(
            process_id=os.getpid(),
            first_cluster=self._first,
            listen=self._settings.listen,
            port=self._settings.port,
            api_port=self._settings.api_port,
            region=self._settings.region,
            domain=self._settings.domain,
            authority=str(self._certificate.shown.authority),
            api_host=self._certificate.shown.api_host,
            processes=tuple(self._describe_process(cluster, program) for cluster, program in programs),
        )

    def _describe_process(self, cluster: ClusterIdentifier | None, program: Program) -> ProcessReport:
        return ProcessReport(
            name=program.name.rpartition("/")[2],
            cluster=cluster,
            process_id=self._tree.process_id(program.name),
            port=program.port,
            is_ready=self._tree.is_ready(program.name),
            restarts=self._tree.restarts(program.name),
            log=str(program.log),
        )


def encode_event(cluster: ClusterIdentifier, fronts: Sequence[FrontAddress]) -> Fields:
    return {"event": "cluster", "cluster": cluster, "fronts": encode_fronts(fronts)}

"""From settings to a running host: the account, the data directory, the lock, the server tree, the seed, the
programs."""

import hashlib
import os
import shutil
import socket
from pathlib import Path

from borealis.clusters import ClusterIdentifier
from borealis.host.account import Account, as_root, assume, choose_account, read_owner, read_sudo_user
from borealis.host.apart import run_apart
from borealis.host.cluster_programs import ClusterPlan
from borealis.host.errors import HostError
from borealis.host.hosts_file import HostsFile
from borealis.host.instance import read_boot_id
from borealis.host.layout import DataDirectory, create_layout
from borealis.host.lock import take_lock
from borealis.host.postgres_settings import check_chosen
from borealis.host.process_tree import ProcessTree
from borealis.host.report import ShownCertificate
from borealis.host.seed import ensure_seed
from borealis.host.server import Announcer, Host
from borealis.host.server_tree import find_server_tree, make_reachable
from borealis.host.services import plan_services
from borealis.host.settings import SESSIONS_MAX, HostSettings

# Where the data of a host that was started by root lies when its folder is below one that only root can enter.
REACHABLE_DATA = Path("/var/lib/borealis")

CERTIFICATES = "borealis.host.certificates"
METADATA = "borealis.host.metadata"


def run_host(settings: HostSettings, announcer: Announcer) -> bool:
    """Runs until told to stop (SIGINT, SIGTERM). True when that was why it ended. Raises HostError."""
    if settings.instances * settings.connections_max > SESSIONS_MAX:
        raise HostError(
            f"the instances of a cluster together can have {SESSIONS_MAX} backends; see --instances, --max-connections"
        )
    if (settings.certificate is None) != (settings.key is None):
        raise HostError("--certificate and --key go together")
    if settings.authority is not None and settings.certificate is None:
        raise HostError("--authority goes with --certificate")
    check_chosen(settings.postgres)
    tree = find_server_tree()
    root = settings.data.absolute()
    account = choose_account(os.geteuid(), read_owner(root), read_sudo_user())
    root = open_data_directory(root, account, announcer)
    lock = take_lock(root)
    directory = create_layout(root)
    tree = make_reachable(tree, directory.server, account)
    check_ports(settings)
    if not directory.seed.exists():
        announcer.event("first start: preparing the database template")
    fingerprint = ensure_seed(tree, directory.seed, account)
    plan = ClusterPlan(settings, directory, tree, fingerprint, read_boot_id(), account)
    first = directory.first_cluster()
    if first is not None and not directory.cluster(first).root.exists():
        first = None
    processes = ProcessTree(account, lock, directory.log / "zygote.log")
    processes.warm_up()
    # What that needs is most of what a host would hold in memory, and it needs it never again.
    shown = run_apart((CERTIFICATES, METADATA), lambda: _prepare(settings, directory, first, account))
    if shown.problem:
        announcer.event(shown.problem)
    certificate = CertificateKeeper(settings, directory, account, shown)
    services = plan_services(settings, directory, account)
    hosts = HostsFile(settings.hosts, f"Borealis in {directory.root}", account)
    return Host(settings, directory, processes, plan, services, first, certificate, hosts, announcer).run()


def _prepare(
    settings: HostSettings, directory: DataDirectory, first: ClusterIdentifier | None, account: Account | None
) -> ShownCertificate:
    """What must be there before the services start."""
    from borealis.foundation.clock import SystemClock
    from borealis.host.certificates import keep_certificate
    from borealis.host.metadata import install_administrator, introduce_first_cluster

    _, shown = keep_certificate(settings, directory, account)
    now = SystemClock().now()
    install_administrator(settings, directory, now)
    introduce_first_cluster(settings, directory, first, now)
    return shown


class CertificateKeeper:
    """Sees to it that there is a certificate that clients accept."""

    def __init__(
        self, settings: HostSettings, directory: DataDirectory, account: Account | None, shown: ShownCertificate
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._account = account
        self.shown = shown

    def keep(self) -> bool:
        """True when there is a new one. Raises HostError when the operator's own cannot be used."""
        is_new, self.shown = run_apart((CERTIFICATES,), self._keep)
        return is_new

    def _keep(self) -> tuple[bool, ShownCertificate]:
        from borealis.host.certificates import keep_certificate

        return keep_certificate(self._settings, self._directory, self._account)


def check_ports(settings: HostSettings) -> None:
    """Before anything is started: a port in use would only show in the log of a process that cannot start."""
    check_port(settings.listen, settings.port, "--port")
    check_port(settings.listen, settings.api_port, "--api-port")
    if settings.direct_port is not None:
        for number in range(settings.instances):
            check_port("127.0.0.1", settings.direct_port + number, "--direct-port")


def open_data_directory(root: Path, account: Account | None, announcer: Announcer) -> Path:
    """Makes the folder if need be and assumes the account. Returns where the data really is."""
    try:
        is_new = not root.exists() or not any(root.iterdir())
        root.mkdir(parents=True, exist_ok=True)
        if is_new:
            root.chmod(0o700)
        if is_new and account is not None:
            os.chown(root, account.uid, account.gid)
    except FileExistsError:
        raise HostError(f"{root} is not a folder, or a link to one that is gone; remove it") from None
    except OSError as error:
        raise HostError(f"cannot use {root}: {error.strerror}") from error
    root = root.resolve()
    # From here on, not before: the folders above the data are for others, too.
    os.umask(0o077)
    assume(account)
    if os.access(root, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return root
    if account is None or not is_new:
        user = "you" if account is None else f"the unprivileged user {account.uid}, which PostgreSQL needs,"
        raise HostError(f"{root} cannot be used by {user}; choose another folder with --data")
    with as_root(account):
        target = _relocate(root, account)
    announcer.event(f"{root} is in a folder that only root can enter: the data is in {target}")
    return target


def _relocate(root: Path, account: Account) -> Path:
    """Replaces the empty folder by a link to a place that the account can reach."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    target = REACHABLE_DATA / f"{root.name}-{digest}"
    REACHABLE_DATA.mkdir(mode=0o755, parents=True, exist_ok=True)
    REACHABLE_DATA.chmod(0o755)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    os.chown(target, account.uid, account.gid)
    root.rmdir()
    root.symlink_to(target)
    return target


def check_port(listen: str, port: int, option: str) -> None:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except OSError as error:
            raise HostError(f"cannot listen on {listen} port {port}: {error.strerror}; see {option}") from error

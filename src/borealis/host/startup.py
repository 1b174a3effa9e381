"""From settings to a running host: the account, the data directory, the lock, the server tree, the seed, the
programs."""

import hashlib
import os
import shutil
import socket
from pathlib import Path

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.host.account import Account, as_root, assume, choose_account, read_owner, read_sudo_user
from borealis.host.errors import HostError
from borealis.host.instance import read_boot_id
from borealis.host.layout import DataDirectory, create_layout, take_lock
from borealis.host.postgres_settings import InstanceSettings, check_chosen
from borealis.host.programs import Instance, Program, Service
from borealis.host.seed import ensure_seed
from borealis.host.server import Announcer, Host
from borealis.host.server_tree import ServerTree, find_server_tree, make_reachable
from borealis.host.settings import SESSIONS_MAX, HostSettings

# Where the data of a host that was started by root lies when its folder is below one that only root can enter.
REACHABLE_DATA = Path("/var/lib/borealis")


def run_host(settings: HostSettings, announcer: Announcer) -> bool:
    """Runs until told to stop (SIGINT, SIGTERM). True when that was why it ended. Raises HostError."""
    if settings.instances * settings.connections_max > SESSIONS_MAX:
        raise HostError(
            f"all instances together can have {SESSIONS_MAX} sessions; see --instances and --max-connections"
        )
    check_chosen(settings.postgres)
    tree = find_server_tree()
    root = settings.data.absolute()
    account = choose_account(os.geteuid(), read_owner(root), read_sudo_user())
    root = open_data_directory(root, account, announcer)
    lock = take_lock(root)
    directory = create_layout(root)
    tree = make_reachable(tree, directory.server, account)
    for number in range(settings.instances):
        check_port(settings.listen, settings.port + number)
    if not directory.seed.exists():
        announcer.event("first start: preparing the database template")
    fingerprint = ensure_seed(tree, directory.seed, account)
    stages = plan_programs(settings, directory, tree, fingerprint, account)
    return Host(stages, account, lock, directory.processes, announcer).run()


def plan_programs(
    settings: HostSettings, directory: DataDirectory, tree: ServerTree, fingerprint: str, account: Account | None
) -> list[list[Program]]:
    boot_id = read_boot_id()
    instances: list[Program] = []
    for number in range(1, settings.instances + 1):
        folder = directory.instance(number)
        instance_settings = InstanceSettings(
            number=number,
            port=settings.port + number - 1,
            listen=settings.listen,
            connections_max=settings.connections_max,
            run=directory.run,
            storage_map=directory.storage_map,
            socket=folder.socket,
            extension=tree.extension,
            transaction_age_limit_s=settings.transaction_age_limit_s,
            chosen=settings.postgres,
        )
        instances.append(Instance(folder, instance_settings, directory.seed, fingerprint, boot_id, tree, account))
    age_s = settings.transaction_age_limit_s
    age = f"--transaction-age-max={age_s}"
    transactions = Service("transactions", "borealis.adjudicator", directory, account, age)
    # Storage keeps versions as long as a transaction can need them.
    age = f"--set=transaction_age_max_ns={age_s * NANOSECONDS_PER_SECOND}"
    storage = Service("storage", "borealis.storage", directory, account, age)
    return [[transactions], [storage], instances]


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


def check_port(listen: str, port: int) -> None:
    for address in dict.fromkeys(("127.0.0.1", listen)):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise HostError(
                    f"cannot listen on {address} port {port}: {error.strerror}; see --port and --listen"
                ) from error

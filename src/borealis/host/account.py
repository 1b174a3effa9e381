"""The operating-system account that Borealis runs as.

PostgreSQL refuses to run as root, and nothing here needs root. Started by root, the host therefore picks an
unprivileged account, works with its effective ids from then on (every file it makes belongs to that account, and no
link planted in the data directory can lead it astray), and takes root back only to start a process or to read the
installed program files, which may lie where the account cannot go.

Assumes that every module is imported before `assume`: afterwards the Python installation may be out of reach.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

NOBODY = 65534


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int


def choose_account(effective_uid: int, data_owner: Account | None, sudo_user: Account | None) -> Account | None:
    """The account to run as, or None to stay who we are.

    Existing data belongs to somebody already; a new data directory goes to who called sudo; else to nobody."""
    if effective_uid != 0:
        return None
    for account in (data_owner, sudo_user):
        if account is not None and account.uid != 0:
            return account
    return Account(NOBODY, NOBODY)


def read_sudo_user() -> Account | None:
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    return Account(int(uid), int(gid)) if uid.isdecimal() and gid.isdecimal() else None


def read_owner(path: os.PathLike[str]) -> Account | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return Account(status.st_uid, status.st_gid)


def assume(account: Account | None) -> None:
    """Acts as the account from here on; the real ids stay, so that `as_root` can return."""
    if account is not None:
        if os.geteuid() == 0:
            os.setgroups([])
        os.setegid(account.gid)
        os.seteuid(account.uid)


def current_account() -> Account | None:
    """The one that was assumed, if one was."""
    return None if os.geteuid() == os.getuid() else Account(os.geteuid(), os.getegid())


@contextmanager
def as_root(account: Account | None) -> Iterator[None]:
    """Inside, whatever we were when started; outside, the account."""
    if account is None or os.geteuid() == 0:
        yield
        return
    os.seteuid(0)
    os.setegid(0)
    try:
        yield
    finally:
        assume(account)

"""Becoming an unprivileged account for good.

Assumes that every module is imported: afterwards the Python installation may be out of reach. Promises nothing about
what was done before, so call it before the data directory, which the account owns, is touched at all: root would follow
any link that the account has put there.
"""

import os


def drop_privileges(uid: int | None, gid: int | None) -> None:
    """Both, or neither to stay who we are. Raises PermissionError when we are not root."""
    if uid is None and gid is None:
        return
    if uid is None or gid is None:
        raise ValueError("a user goes with a group: half an identity would keep the other half of root's")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)

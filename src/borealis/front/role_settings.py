"""What ALTER ROLE and ALTER DATABASE SET give a login: which generation of it is in force.

A new session may only be served by backends that logged in under the same. Promises: a change that was committed before
a login began has been noticed when the login is let in; while nothing of the catalogs has changed, noticing that costs
one look at the page of the transaction service.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from pathlib import Path
from typing import Final

from borealis.foundation.errors import Unavailable
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord

_USERS_MAX: Final = 1_000


class CatalogVersion:
    """The newest version of the catalogs that may have been acknowledged; None while nobody can tell."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._page: SharedPage | None = None

    def read(self) -> int | None:
        if self._page is None:
            try:
                self._page = SharedPage.watch(self._path, TRANSACTIONS_MAGIC)
            except Unavailable:
                return None
        return self._page.load(TransactionsWord.CATALOG_VERSION)


class RoleSettings:
    """Pure. Generations of different users differ, and none comes back."""

    def __init__(self) -> None:
        self._generations = itertools.count(1)
        self._known: OrderedDict[str, tuple[int | None, bytes | None, int]] = OrderedDict()

    def find(self, user: str, version: int | None) -> int | None:
        """The generation in force at this version of the catalogs; None: ask Postgres, and `note` what it says."""
        known = self._known.get(user)
        return known[2] if known is not None and version is not None and known[0] == version else None

    def note(self, user: str, version: int | None, fingerprint: bytes | None) -> int:
        """`version` is from before Postgres was asked."""
        known = self._known.get(user)
        same = known is not None and known[1] == fingerprint
        generation = known[2] if known is not None and same else next(self._generations)
        self._known[user] = (version, fingerprint, generation)
        self._known.move_to_end(user)
        if len(self._known) > _USERS_MAX:
            self._known.popitem(last=False)
        return generation

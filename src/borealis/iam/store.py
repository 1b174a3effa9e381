"""The store of principals, keys and policies, as its writers see it.

Owns `DATA/control/iam.sqlite` and `DATA/control/master.key` (docs/formats.md). Promises that what a method has done is
on the disk when it returns, that readers see it at their next look, and that only what is well-formed is stored.
Moments and randomness come from the caller. Several processes may have a store open: SQLite lets one write at a time.
"""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from borealis.clusters.names import parse_account
from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.foundation.metadata_file import open_for_writing, write_transaction
from borealis.iam import schema
from borealis.iam.access_keys import SECRETS_PURPOSE, AccessKeys
from borealis.iam.entities import Entities
from borealis.iam.errors import NotFound
from borealis.iam.managed_policies import ADMINISTRATOR_ACCESS
from borealis.iam.names import EntityKind, RandomBytes
from borealis.iam.records import NewAccessKey
from borealis.iam.rows import Rows
from borealis.iam.sealing import CannotUnseal, Seal, make_master_key, read_master_key
from borealis.iam.stored_policies import StoredPolicies

ADMINISTRATOR: Final = "administrator"
"""Name of the built-in user."""
_CHECK_TEXT: Final = b"borealis"
_CHECK_ASSOCIATED: Final = b"installation"


class IamStore:
    """Open for writing. To verify callers, open an `IamReader` (also in the same process)."""

    def __init__(self, connection: sqlite3.Connection, seal: Seal, random: RandomBytes) -> None:
        self._rows = Rows(connection)
        self._seal = seal
        self._random = random
        self.entities: Final = Entities(self._rows, random)
        self.access_keys: Final = AccessKeys(self._rows, seal, random)
        self.policies: Final = StoredPolicies(self._rows, random)

    @classmethod
    def open(cls, folder: Path, random: RandomBytes) -> Self:
        """`folder`: DATA/control. What is missing of folder, master key and file is made. Raises Unavailable."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, master_key = folder / schema.FILE_NAME, folder / schema.MASTER_KEY_NAME
        if not path.exists():
            make_master_key(master_key, random)
        seal = Seal(read_master_key(master_key), SECRETS_PURPOSE)
        connection = open_for_writing(path, schema.MIGRATIONS)
        try:
            check_master_key(Rows(connection), seal)
        except BaseException:
            connection.close()
            raise
        return cls(connection, seal, random)

    def close(self) -> None:
        self._rows.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def install(self, account: str, now: Timestamp) -> None:
        """Makes the account, the built-in administrator with an access key, and the policies that come with the
        product, where they are missing, and brings those policies up to date. To be called at every start."""
        parse_account(account)
        with write_transaction(self._rows.connection):
            self.policies.install(now)
            if self._rows.one("SELECT 1 FROM installation"):
                return
            self._rows.execute("INSERT OR IGNORE INTO account VALUES (?, ?)", account, now)
            administrator = self.entities.insert(account, EntityKind.USER, ADMINISTRATOR, "/", "Built in.", now)
            self._rows.execute("INSERT INTO attachment VALUES (?, ?)", administrator.id, ADMINISTRATOR_ACCESS.arn)
            self.access_keys.insert(administrator, now)
            check = self._seal.seal(_CHECK_TEXT, _CHECK_ASSOCIATED, self._random)
            self._rows.execute("INSERT INTO installation VALUES (1, ?, ?, ?)", account, administrator.id, check)

    def account(self) -> str:
        """The account of the built-in administrator. Raises Unavailable before `install`."""
        row = self._rows.one("SELECT account FROM installation")
        if row is None:
            raise Unavailable("there are no accounts yet; start Borealis once (borealis up)")
        account: str = row[0]
        return account

    def administrator_key(self) -> NewAccessKey:
        """The oldest active key of the built-in administrator, with its secret. Raises NotFound."""
        row = self._rows.one(
            "SELECT access_key.id FROM installation JOIN access_key ON access_key.entity = installation.administrator "
            "WHERE is_active = 1 ORDER BY created_at, access_key.id"
        )
        if row is None:
            raise NotFound(
                "the built-in administrator has no active access key; "
                f"borealis iam access-key create --user {ADMINISTRATOR} makes one"
            )
        return self.access_keys.reveal(row[0])


def check_master_key(rows: Rows, seal: Seal) -> None:
    """Raises Unavailable when the secrets of this store were sealed by another master key."""
    row = rows.one("SELECT sealed_check FROM installation")
    if row is None:
        return
    try:
        seal.unseal(row[0], _CHECK_ASSOCIATED)
    except CannotUnseal:
        raise Unavailable(
            f"{schema.MASTER_KEY_NAME} is not the key of this {schema.FILE_NAME}; restore both from one backup"
        ) from None

"""Access keys in the store, their secrets sealed.

Owns the table access_key. Every method is one transaction, but `insert`.
"""

from typing import Final

from borealis.foundation.identifiers import Timestamp
from borealis.foundation.metadata_file import write_transaction
from borealis.iam import names
from borealis.iam.errors import NotFound, NotPossible
from borealis.iam.names import EntityKind, RandomBytes
from borealis.iam.records import AccessKeyRecord, EntityRecord, NewAccessKey
from borealis.iam.rows import Rows
from borealis.iam.sealing import Seal
from borealis.iam.secret import Secret

SECRETS_PURPOSE: Final = "access key secrets 1"
ACCESS_KEYS_MAX: Final = 10
"""Of one entity. (AWS allows two.)"""


def associated_data(key_id: str, entity_id: str) -> bytes:
    """Binds a sealed secret to its row: moved to another key or to another owner it does not open."""
    return f"access key {key_id} of {entity_id}".encode()


def unseal_secret(seal: Seal, key_id: str, entity_id: str, sealed: bytes) -> Secret:
    """Raises CannotUnseal."""
    return Secret(seal.unseal(sealed, associated_data(key_id, entity_id)).decode())


class AccessKeys:
    def __init__(self, rows: Rows, seal: Seal, random: RandomBytes) -> None:
        self._rows = rows
        self._seal = seal
        self._random = random

    def create(self, entity: EntityRecord, now: Timestamp) -> NewAccessKey:
        """Of a user or a root. The secret can be read again with `reveal`, on this machine only."""
        if entity.kind not in (EntityKind.USER, EntityKind.ROOT):
            raise NotPossible(f"a {entity.kind.value} has no access keys of its own; roles are assumed")
        with write_transaction(self._rows.connection):
            count = self._rows.one("SELECT count(*) FROM access_key WHERE entity = ?", entity.id)
            if count is not None and count[0] >= ACCESS_KEYS_MAX:
                raise NotPossible(f"{entity.arn} has {ACCESS_KEYS_MAX} access keys; delete one first")
            return self.insert(entity, now)

    def insert(self, entity: EntityRecord, now: Timestamp) -> NewAccessKey:
        key_id = names.make_access_key_id(names.LONG_TERM_PREFIX, self._random)
        secret = Secret(names.make_secret(self._random))
        sealed = self._seal.seal(secret.reveal().encode(), associated_data(key_id, entity.id), self._random)
        self._rows.execute("INSERT INTO access_key VALUES (?, ?, 1, ?, ?)", key_id, entity.id, now, sealed)
        return NewAccessKey(key_id, entity.arn, secret)

    def reveal(self, key_id: str) -> NewAccessKey:
        """Raises NotFound."""
        row = self._rows.one(
            "SELECT entity, arn, sealed_secret FROM access_key JOIN entity ON entity.id = access_key.entity "
            "WHERE access_key.id = ?",
            key_id,
        )
        if row is None:
            raise NotFound(f"there is no access key {key_id}")
        entity_id, arn, sealed = row
        return NewAccessKey(key_id, arn, unseal_secret(self._seal, key_id, entity_id, sealed))

    def set_active(self, key_id: str, is_active: bool) -> None:
        with write_transaction(self._rows.connection):
            self._rows.change(
                "UPDATE access_key SET is_active = ? WHERE id = ?", int(is_active), key_id, what=f"access key {key_id}"
            )

    def delete(self, key_id: str) -> None:
        with write_transaction(self._rows.connection):
            self._rows.change("DELETE FROM access_key WHERE id = ?", key_id, what=f"access key {key_id}")

    def list_of(self, entity: EntityRecord | None = None) -> list[AccessKeyRecord]:
        """Of one entity, or all."""
        condition, parameters = ("WHERE entity = ?", (entity.id,)) if entity else ("", ())
        rows = self._rows.all(
            "SELECT access_key.id, entity, arn, is_active, access_key.created_at FROM access_key "
            f"JOIN entity ON entity.id = access_key.entity {condition} ORDER BY access_key.created_at, access_key.id",
            *parameters,
        )
        return [AccessKeyRecord(row[0], row[1], row[2], bool(row[3]), Timestamp(row[4])) for row in rows]

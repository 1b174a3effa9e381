"""Policies in the store: managed ones, which are attached to entities, and inline ones, which are part of one.

Owns the tables policy, attachment and inline_policy. Every method is one transaction, but `install`. A document is
stored only if it parses.
"""

from typing import Final

from borealis.foundation.identifiers import Timestamp
from borealis.foundation.metadata_file import write_transaction
from borealis.iam import names
from borealis.iam.errors import AlreadyExists, NotFound, NotPossible
from borealis.iam.managed_policies import MANAGED_POLICIES
from borealis.iam.names import AWS_ACCOUNT, EntityKind, RandomBytes
from borealis.iam.policies import PolicyKind, parse_policy
from borealis.iam.records import EntityRecord, PolicyRecord
from borealis.iam.rows import Rows

_COLUMNS: Final = "id, arn, account, path, name, description, document, created_at, updated_at"


class StoredPolicies:
    def __init__(self, rows: Rows, random: RandomBytes) -> None:
        self._rows = rows
        self._random = random

    def install(self, now: Timestamp) -> None:
        """Those that come with the product, in their newest form; within the caller's transaction."""
        for policy in MANAGED_POLICIES:
            self._rows.execute(
                "INSERT INTO policy VALUES (?, ?, ?, '/', ?, ?, ?, ?, ?) ON CONFLICT (arn) DO UPDATE SET "
                "document = excluded.document, description = excluded.description, updated_at = excluded.updated_at "
                "WHERE document <> excluded.document OR description <> excluded.description",
                policy.arn,
                names.make_policy_id(self._random),
                AWS_ACCOUNT,
                policy.name,
                policy.description,
                policy.document,
                now,
                now,
            )

    def create(
        self, account: str, name: str, document: str, now: Timestamp, *, path: str = "/", description: str = ""
    ) -> PolicyRecord:
        """Raises MalformedPolicy."""
        parse_policy(document, PolicyKind.IDENTITY)
        names.check_policy_name(name)
        names.check_path(path)
        with write_transaction(self._rows.connection):
            if self._rows.one("SELECT 1 FROM account WHERE id = ?", account) is None:
                raise NotFound(f"there is no account {account}")
            if self._rows.one("SELECT 1 FROM policy WHERE account = ? AND name = ? COLLATE NOCASE", account, name):
                raise AlreadyExists(f"there is a policy {name} in account {account} already (case does not count)")
            arn = names.policy_arn(account, path, name)
            policy_id = names.make_policy_id(self._random)
            values = (arn, policy_id, account, path, name, description, document, now, now)
            self._rows.execute("INSERT INTO policy VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *values)
            return PolicyRecord(policy_id, arn, account, path, name, description, document, now, now)

    def set_document(self, arn: str, document: str, now: Timestamp) -> None:
        parse_policy(document, PolicyKind.IDENTITY)
        with write_transaction(self._rows.connection):
            self._own_policy(arn)
            self._rows.execute("UPDATE policy SET document = ?, updated_at = ? WHERE arn = ?", document, now, arn)

    def delete(self, arn: str) -> None:
        """Raises NotPossible while it is attached to something."""
        with write_transaction(self._rows.connection):
            self._own_policy(arn)
            users = self._rows.all(
                "SELECT arn FROM attachment JOIN entity ON entity.id = attachment.entity WHERE policy = ?1 "
                "UNION SELECT arn FROM entity WHERE boundary = ?1 ORDER BY 1 LIMIT 5",
                arn,
            )
            if users:
                raise NotPossible(f"{arn} is in use; detach it first from {', '.join(row[0] for row in users)}")
            self._rows.execute("DELETE FROM policy WHERE arn = ?", arn)

    def find(self, account: str, name: str) -> PolicyRecord:
        """By name or ARN: one of the account's, else one that comes with the product. Raises NotFound."""
        row = self._rows.one(
            f"SELECT {_COLUMNS} FROM policy WHERE arn = ?1 OR (name = ?1 COLLATE NOCASE AND account IN (?2, ?3)) "
            "ORDER BY account = ?3",
            name,
            account,
            AWS_ACCOUNT,
        )
        if row is None:
            raise NotFound(f"there is no policy {name}; borealis iam policy list shows them")
        return PolicyRecord(*row)

    def list_of(self, account: str) -> list[PolicyRecord]:
        """The account's, and those that come with the product."""
        rows = self._rows.all(
            f"SELECT {_COLUMNS} FROM policy WHERE account IN (?, ?) ORDER BY account, name", account, AWS_ACCOUNT
        )
        return [PolicyRecord(*row) for row in rows]

    def attach(self, entity: EntityRecord, arn: str) -> None:
        if entity.kind is EntityKind.ROOT:
            raise NotPossible("the root of an account may do everything already")
        with write_transaction(self._rows.connection):
            policy = self.get(arn)
            if policy.account not in (entity.account, AWS_ACCOUNT):
                raise NotPossible(f"{arn} is of another account than {entity.arn}")
            self._rows.execute("INSERT OR IGNORE INTO attachment VALUES (?, ?)", entity.id, arn)

    def detach(self, entity: EntityRecord, arn: str) -> None:
        with write_transaction(self._rows.connection):
            self._rows.change(
                "DELETE FROM attachment WHERE entity = ? AND policy = ?",
                entity.id,
                arn,
                what=f"{arn} attached to {entity.arn}",
            )

    def list_attached(self, entity: EntityRecord) -> list[PolicyRecord]:
        rows = self._rows.all(
            f"SELECT {_COLUMNS} FROM policy WHERE arn IN (SELECT policy FROM attachment WHERE entity = ?) "
            "ORDER BY name",
            entity.id,
        )
        return [PolicyRecord(*row) for row in rows]

    def put_inline(self, entity: EntityRecord, name: str, document: str) -> None:
        """Replaces one of the same name. Raises MalformedPolicy."""
        parse_policy(document, PolicyKind.IDENTITY)
        names.check_policy_name(name)
        if entity.kind is EntityKind.ROOT:
            raise NotPossible("the root of an account may do everything already")
        with write_transaction(self._rows.connection):
            self._rows.execute(
                "INSERT INTO inline_policy VALUES (?, ?, ?) "
                "ON CONFLICT (entity, name) DO UPDATE SET document = excluded.document",
                entity.id,
                name,
                document,
            )

    def delete_inline(self, entity: EntityRecord, name: str) -> None:
        with write_transaction(self._rows.connection):
            self._rows.change(
                "DELETE FROM inline_policy WHERE entity = ? AND name = ?",
                entity.id,
                name,
                what=f"inline policy {name} of {entity.arn}",
            )

    def list_inline(self, entity: EntityRecord) -> dict[str, str]:
        """Documents by name."""
        return dict(
            self._rows.all("SELECT name, document FROM inline_policy WHERE entity = ? ORDER BY name", entity.id)
        )

    def get(self, arn: str) -> PolicyRecord:
        """Raises NotFound."""
        row = self._rows.one(f"SELECT {_COLUMNS} FROM policy WHERE arn = ?", arn)
        if row is None:
            raise NotFound(f"there is no policy {arn}; borealis iam policy list shows them")
        return PolicyRecord(*row)

    def _own_policy(self, arn: str) -> PolicyRecord:
        policy = self.get(arn)
        if policy.account == AWS_ACCOUNT:
            raise NotPossible(f"{arn} comes with the product; make a policy of your own")
        return policy

"""Accounts, users, groups, roles and roots in the store.

Owns the tables account, entity, membership and tag. Every method is one transaction, but `insert`.
"""

from collections.abc import Iterable
from typing import Final

from borealis.clusters.names import parse_account
from borealis.foundation.identifiers import Timestamp
from borealis.foundation.metadata_file import write_transaction
from borealis.iam import names
from borealis.iam.errors import AlreadyExists, NotFound, NotPossible
from borealis.iam.names import EntityKind, RandomBytes
from borealis.iam.policies import PolicyKind, parse_policy
from borealis.iam.records import EntityRecord
from borealis.iam.rows import ENTITY_COLUMNS, Rows, decode_entity

SESSION_S_MIN: Final = 900
SESSION_S_DEFAULT: Final = 3600
SESSION_S_MAX: Final = 12 * 3600


class Entities:
    """What policies can be attached to."""

    def __init__(self, rows: Rows, random: RandomBytes) -> None:
        self._rows = rows
        self._random = random

    def create_account(self, account: str, now: Timestamp) -> None:
        parse_account(account)
        with write_transaction(self._rows.connection):
            if self._rows.one("SELECT 1 FROM account WHERE id = ?", account):
                raise AlreadyExists(f"there is an account {account} already")
            self._rows.execute("INSERT INTO account VALUES (?, ?)", account, now)

    def list_accounts(self) -> list[str]:
        return [row[0] for row in self._rows.all("SELECT id FROM account ORDER BY id")]

    def create_user(
        self, account: str, name: str, now: Timestamp, *, path: str = "/", description: str = ""
    ) -> EntityRecord:
        with write_transaction(self._rows.connection):
            return self.insert(account, EntityKind.USER, name, path, description, now)

    def create_group(
        self, account: str, name: str, now: Timestamp, *, path: str = "/", description: str = ""
    ) -> EntityRecord:
        with write_transaction(self._rows.connection):
            return self.insert(account, EntityKind.GROUP, name, path, description, now)

    def create_role(
        self,
        account: str,
        name: str,
        trust_policy: str,
        now: Timestamp,
        *,
        path: str = "/",
        description: str = "",
        session_s_max: int = SESSION_S_DEFAULT,
    ) -> EntityRecord:
        """`trust_policy` says who may assume the role. Raises MalformedPolicy."""
        parse_policy(trust_policy, PolicyKind.TRUST)
        if not SESSION_S_DEFAULT <= session_s_max <= SESSION_S_MAX:
            raise NotPossible(f"the longest session of a role is {SESSION_S_DEFAULT} to {SESSION_S_MAX} seconds")
        with write_transaction(self._rows.connection):
            return self.insert(account, EntityKind.ROLE, name, path, description, now, trust_policy, session_s_max)

    def create_root(self, account: str, now: Timestamp) -> EntityRecord:
        """The root of an account, which may do everything there; needed only to give it an access key."""
        with write_transaction(self._rows.connection):
            if self._rows.one("SELECT 1 FROM account WHERE id = ?", account) is None:
                raise NotFound(f"there is no account {account}")
            if found := self._find(account, EntityKind.ROOT, "root"):
                return found
            arn = names.account_arn(account)
            record = EntityRecord(account, account, EntityKind.ROOT, "/", "root", arn, "", now)
            self._insert_record(record)
            return record

    def insert(
        self,
        account: str,
        kind: EntityKind,
        name: str,
        path: str,
        description: str,
        now: Timestamp,
        trust_policy: str | None = None,
        session_s_max: int | None = None,
    ) -> EntityRecord:
        names.check_entity_name(name)
        names.check_path(path)
        if self._rows.one("SELECT 1 FROM account WHERE id = ?", account) is None:
            raise NotFound(f"there is no account {account}; borealis iam account create makes one")
        if self._find(account, kind, name):
            raise AlreadyExists(f"there is a {kind.value} {name} in account {account} already (case does not count)")
        record = EntityRecord(
            names.make_entity_id(kind, self._random),
            account,
            kind,
            path,
            name,
            names.entity_arn(account, kind, path, name),
            description,
            now,
            None,
            trust_policy,
            session_s_max,
        )
        self._insert_record(record)
        return record

    def _insert_record(self, record: EntityRecord) -> None:
        self._rows.execute(
            "INSERT INTO entity (id, account, kind, path, name, arn, description, created_at, boundary, trust_policy, "
            "session_s_max) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            record.id,
            record.account,
            record.kind.value,
            record.path,
            record.name,
            record.arn,
            record.description,
            record.created_at,
            record.boundary,
            record.trust_policy,
            record.session_s_max,
        )

    def get(self, account: str, kind: EntityKind, name: str) -> EntityRecord:
        """Raises NotFound."""
        found = self._find(account, kind, name)
        if found is None:
            raise NotFound(f"there is no {kind.value} {name} in account {account}")
        return found

    def list_of(self, account: str, kind: EntityKind) -> list[EntityRecord]:
        rows = self._rows.all(
            f"SELECT {ENTITY_COLUMNS} FROM entity WHERE account = ? AND kind = ? ORDER BY name", account, kind.value
        )
        return [decode_entity(row) for row in rows]

    def delete(self, entity: EntityRecord) -> None:
        """With its keys, inline policies, attachments and memberships. Sessions of a deleted role end with it."""
        with write_transaction(self._rows.connection):
            if self._rows.one("SELECT 1 FROM installation WHERE administrator = ?", entity.id):
                raise NotPossible("the built-in administrator stays; take its keys away instead")
            self._rows.change("DELETE FROM entity WHERE id = ?", entity.id, what=f"{entity.kind.value} {entity.name}")

    def set_trust_policy(self, role: EntityRecord, trust_policy: str) -> None:
        parse_policy(trust_policy, PolicyKind.TRUST)
        with write_transaction(self._rows.connection):
            self._rows.change(
                "UPDATE entity SET trust_policy = ? WHERE id = ? AND kind = 'role'",
                trust_policy,
                role.id,
                what=f"role {role.name}",
            )

    def set_boundary(self, entity: EntityRecord, policy: str | None) -> None:
        """`policy`: ARN of the policy that limits what the others allow; None for no limit."""
        if entity.kind not in (EntityKind.USER, EntityKind.ROLE):
            raise NotPossible("only users and roles have a permissions boundary")
        with write_transaction(self._rows.connection):
            if policy is not None and self._rows.one("SELECT 1 FROM policy WHERE arn = ?", policy) is None:
                raise NotFound(f"there is no policy {policy}; borealis iam policy list shows them")
            self._rows.change("UPDATE entity SET boundary = ? WHERE id = ?", policy, entity.id, what=entity.arn)

    def set_tags(self, entity: EntityRecord, tags: Iterable[tuple[str, str]]) -> None:
        with write_transaction(self._rows.connection):
            for name, value in tags:
                names.check_tag(name, value)
                self._rows.execute(
                    "INSERT INTO tag VALUES (?, ?, ?) ON CONFLICT (entity, name) DO UPDATE SET value = excluded.value",
                    entity.id,
                    name,
                    value,
                )

    def remove_tags(self, entity: EntityRecord, tag_names: Iterable[str]) -> None:
        with write_transaction(self._rows.connection):
            for name in tag_names:
                self._rows.execute("DELETE FROM tag WHERE entity = ? AND name = ?", entity.id, name)

    def list_tags(self, entity: EntityRecord) -> dict[str, str]:
        return dict(self._rows.all("SELECT name, value FROM tag WHERE entity = ? ORDER BY name", entity.id))

    def add_member(self, group: EntityRecord, user: EntityRecord) -> None:
        if group.account != user.account:
            raise NotPossible("a group has users of its own account only")
        with write_transaction(self._rows.connection):
            self._rows.execute("INSERT OR IGNORE INTO membership VALUES (?, ?)", user.id, group.id)

    def remove_member(self, group: EntityRecord, user: EntityRecord) -> None:
        with write_transaction(self._rows.connection):
            self._rows.change(
                "DELETE FROM membership WHERE member = ? AND of_group = ?",
                user.id,
                group.id,
                what=f"user {user.name} in group {group.name}",
            )

    def list_members(self, group: EntityRecord) -> list[EntityRecord]:
        return self._joined("membership.member", "membership.of_group", group)

    def list_groups_of(self, user: EntityRecord) -> list[EntityRecord]:
        return self._joined("membership.of_group", "membership.member", user)

    def _joined(self, wanted: str, given: str, entity: EntityRecord) -> list[EntityRecord]:
        rows = self._rows.all(
            f"SELECT {ENTITY_COLUMNS} FROM membership JOIN entity ON entity.id = {wanted} WHERE {given} = ? "
            "ORDER BY entity.name",
            entity.id,
        )
        return [decode_entity(row) for row in rows]

    def _find(self, account: str, kind: EntityKind, name: str) -> EntityRecord | None:
        row = self._rows.one(
            f"SELECT {ENTITY_COLUMNS} FROM entity WHERE account = ? AND kind = ? AND name = ? COLLATE NOCASE",
            account,
            kind.value,
            name,
        )
        return decode_entity(row) if row else None

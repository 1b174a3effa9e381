"""The store as verification sees it: read-only, decoded once, fresh at every look.

Owns the caches. Promises that every answer is about the store as it was after the last commit before the question,
in whatever process that commit was made; between commits an answer costs a few microseconds. Assumes one thread.
"""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from borealis.foundation.errors import Malformed, Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.foundation.metadata_file import ChangeWatch, open_for_reading
from borealis.iam import names, refusals, schema
from borealis.iam.access_keys import SECRETS_PURPOSE, unseal_secret
from borealis.iam.caller import Entity, Session
from borealis.iam.credentials import Credential
from borealis.iam.errors import MalformedPolicy
from borealis.iam.policies import Policy, PolicyKind, parse_policy
from borealis.iam.records import EntityRecord
from borealis.iam.rows import ENTITY_COLUMNS, Rows, decode_entity
from borealis.iam.sealing import CannotUnseal, Seal, read_master_key
from borealis.iam.session_tokens import PURPOSE, SessionContents, open_session
from borealis.iam.sigv4 import SigningSecret
from borealis.iam.store import check_master_key


class IamReader:
    """A `CredentialSource`. One per process."""

    CACHED_MAX: Final = 10_000
    """Of keys, and of sessions: when they are more, all are forgotten and read again as they are needed."""

    def __init__(self, connection: sqlite3.Connection, secrets_seal: Seal, sessions_seal: Seal) -> None:
        self._rows = Rows(connection)
        self._watch = ChangeWatch(connection)
        self._secrets_seal = secrets_seal
        self._sessions_seal: Final = sessions_seal
        self._keys: dict[str, Credential] = {}
        self._sessions: dict[str, Credential] = {}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """`folder`: DATA/control. Raises Unavailable before the store was made."""
        master_key = read_master_key(folder / schema.MASTER_KEY_NAME)
        secrets_seal = Seal(master_key, SECRETS_PURPOSE)
        connection = open_for_reading(folder / schema.FILE_NAME, schema.VERSION)
        try:
            check_master_key(Rows(connection), secrets_seal)
        except BaseException:
            connection.close()
            raise
        return cls(connection, secrets_seal, Seal(master_key, PURPOSE))

    def close(self) -> None:
        self._rows.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sessions_seal(self) -> Seal:
        """Seals new session tokens (`assume_role`)."""
        return self._sessions_seal

    def find_credential(self, access_key_id: str, session_token: str | None, now: Timestamp) -> Credential:
        """Raises AuthenticationRefused for a key that is unknown, inactive, expired, or not of this session token."""
        self._look()
        if session_token is None:
            credential = self._keys.get(access_key_id)
            if credential is None:
                with self._rows.snapshot():
                    credential = self._read_key(access_key_id)
                self._remember(self._keys, access_key_id, credential)
            return credential
        credential = self._sessions.get(session_token)
        if credential is None:
            with self._rows.snapshot():
                credential = self._read_session(session_token)
            self._remember(self._sessions, session_token, credential)
        if credential.access_key_id != access_key_id:
            raise refusals.unknown_credential()
        if credential.session is None or credential.session.expires_at <= now:
            raise refusals.expired_credential()
        return credential

    def find_role(self, arn: str) -> tuple[EntityRecord, Entity] | None:
        """The row of a role, and what it may do."""
        with self._rows.snapshot():
            row = self._rows.one(f"SELECT {ENTITY_COLUMNS} FROM entity WHERE arn = ? AND kind = 'role'", arn)
            if row is None:
                return None
            record = decode_entity(row)
            return record, self._read_entity(record)

    def read_entity(self, arn: str) -> Entity | None:
        """What a user, a role or a root may do, for whoever acts on this machine in its name."""
        with self._rows.snapshot():
            row = self._rows.one(f"SELECT {ENTITY_COLUMNS} FROM entity WHERE arn = ? AND kind <> 'group'", arn)
            return self._read_entity(decode_entity(row)) if row else None

    def account(self) -> str:
        """The account of the built-in administrator. Raises Unavailable before there is one."""
        row = self._rows.one("SELECT account FROM installation")
        if row is None:
            raise Unavailable("there are no accounts yet; start Borealis once (borealis up)")
        account: str = row[0]
        return account

    def _look(self) -> None:
        # Looked at before anything is read: what is committed in between is noticed at the next look.
        if self._watch.has_changed():
            self._keys.clear()
            self._sessions.clear()

    def _remember(self, cache: dict[str, Credential], name: str, credential: Credential) -> None:
        if len(cache) >= self.CACHED_MAX:
            cache.clear()
        cache[name] = credential

    def _read_key(self, access_key_id: str) -> Credential:
        row = None
        if names.is_access_key_id(access_key_id):
            row = self._rows.one(
                f"SELECT access_key.sealed_secret, {ENTITY_COLUMNS} FROM access_key "
                "JOIN entity ON entity.id = access_key.entity WHERE access_key.id = ? AND is_active = 1",
                access_key_id,
            )
        if row is None:
            raise refusals.unknown_credential()
        record = decode_entity(row[1:])
        try:
            secret = unseal_secret(self._secrets_seal, access_key_id, record.id, row[0])
        except CannotUnseal:
            raise Unavailable(f"the secret of access key {access_key_id} is damaged; delete the key") from None
        return Credential(access_key_id, self._read_entity(record), None, SigningSecret(secret.reveal()))

    def _read_session(self, session_token: str) -> Credential:
        try:
            contents = open_session(session_token, self._sessions_seal)
        except Malformed:
            raise refusals.unknown_credential() from None
        row = self._rows.one(f"SELECT {ENTITY_COLUMNS} FROM entity WHERE id = ?", contents.role_id)
        if row is None:
            raise refusals.unknown_credential()
        entity = self._read_entity(decode_entity(row))
        return Credential(
            contents.access_key_id, entity, make_session(contents), SigningSecret(contents.secret.reveal())
        )

    def _read_entity(self, record: EntityRecord) -> Entity:
        documents = self._rows.all(
            # Its own, and those of its groups.
            "WITH source (id) AS (SELECT ?1 UNION ALL SELECT of_group FROM membership WHERE member = ?1) "
            "SELECT document FROM inline_policy WHERE entity IN source "
            "UNION ALL SELECT document FROM policy WHERE arn IN "
            "(SELECT policy FROM attachment WHERE entity IN source)",
            record.id,
        )
        boundary = None
        if record.boundary is not None:
            row = self._rows.one("SELECT document FROM policy WHERE arn = ?", record.boundary)
            if row is None:
                raise Unavailable(f"the permissions boundary of {record.arn} is missing")
            boundary = _parse(row[0])
        tags = self._rows.all("SELECT name, value FROM tag WHERE entity = ? ORDER BY name", record.id)
        return Entity(
            record.kind,
            record.account,
            record.id,
            record.name,
            record.arn,
            tuple((name, value) for name, value in tags),
            tuple(_parse(document) for (document,) in documents),
            boundary,
        )


def make_session(contents: SessionContents) -> Session:
    policy = None if contents.policy is None else _parse(contents.policy)
    return Session(contents.session_name, contents.issued_at, contents.expires_at, policy, contents.tags)


def _parse(document: str) -> Policy:
    try:
        return parse_policy(document, PolicyKind.IDENTITY)
    except MalformedPolicy as error:
        # It parsed when it was stored: by another release. To go on without it could let somebody in.
        raise Unavailable(f"a stored policy cannot be read by this release: {error}") from None

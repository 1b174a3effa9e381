"""The tables of iam.sqlite (docs/formats.md), and the rows that every store begins with.

A migration that was released is never edited; the next one is appended.
"""

from typing import Final

FILE_NAME: Final = "iam.sqlite"
MASTER_KEY_NAME: Final = "master.key"

_FIRST: Final = """
-- Of users, groups, roles and the root of an account.
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
    arn TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX policy_name ON policy (account, name COLLATE NOCASE);

CREATE TABLE entity (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL CHECK (kind IN ('root', 'user', 'group', 'role')),
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    arn TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    boundary TEXT REFERENCES policy (arn),
    trust_policy TEXT,
    session_s_max INTEGER,
    CHECK ((kind = 'role') = (trust_policy IS NOT NULL)),
    CHECK ((kind = 'role') = (session_s_max IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entity_name ON entity (account, kind, name COLLATE NOCASE);
CREATE INDEX entity_boundary ON entity (boundary);

CREATE TABLE access_key (
    id TEXT PRIMARY KEY,
    entity TEXT NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    created_at INTEGER NOT NULL,
    sealed_secret BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_key_entity ON access_key (entity);

CREATE TABLE attachment (
    entity TEXT NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    policy TEXT NOT NULL REFERENCES policy (arn),
    PRIMARY KEY (entity, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX attachment_policy ON attachment (policy);

CREATE TABLE inline_policy (
    entity TEXT NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (entity, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE membership (
    member TEXT NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    of_group TEXT NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    PRIMARY KEY (member, of_group)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_group ON membership (of_group);

CREATE TABLE tag (
    entity TEXT NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (entity, name)
) STRICT, WITHOUT ROWID;

-- One row: what account the built-in administrator is of, and a known text sealed by the master key.
CREATE TABLE installation (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    account TEXT NOT NULL REFERENCES account (id),
    administrator TEXT NOT NULL,
    sealed_check BLOB NOT NULL
) STRICT;
"""

MIGRATIONS: Final = (_FIRST,)
VERSION: Final = len(MIGRATIONS)

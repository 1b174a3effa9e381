"""The tables of `clusters.sqlite`, by version. What was released is never edited: add a migration."""

from typing import Final

MIGRATIONS: Final = (
    """
    -- One row: the names that the control service was started with, for the processes that only read.
    CREATE TABLE installation (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        domain TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE cluster (
        identifier TEXT PRIMARY KEY CHECK (length(identifier) = 26),
        account TEXT NOT NULL CHECK (length(account) = 12),
        region TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('CREATING', 'ACTIVE', 'UPDATING', 'DELETING', 'FAILED')),
        status_reason TEXT,
        creation_time INTEGER NOT NULL,
        deletion_protection INTEGER NOT NULL CHECK (deletion_protection IN (0, 1)),
        policy TEXT,
        policy_version INTEGER NOT NULL DEFAULT 0,
        kms_key TEXT,
        metric_groups TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID;
    CREATE INDEX cluster_by_age ON cluster (account, creation_time, identifier);

    CREATE TABLE tag (
        identifier TEXT NOT NULL REFERENCES cluster ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (identifier, key)
    ) WITHOUT ROWID;

    -- Requests with a client token, and what they were answered.
    CREATE TABLE answered_request (
        account TEXT NOT NULL,
        operation TEXT NOT NULL,
        token TEXT NOT NULL,
        parameters BLOB NOT NULL CHECK (length(parameters) = 32),
        answer TEXT NOT NULL,
        time INTEGER NOT NULL,
        PRIMARY KEY (account, operation, token)
    ) WITHOUT ROWID;
    CREATE INDEX answered_request_by_age ON answered_request (time);
    """,
)
VERSION: Final = len(MIGRATIONS)

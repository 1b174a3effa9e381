"""One line of the audit log: who asked for what, from where, and what the answer was (docs/formats.md, "Audit log").

Pure. The fields are a closed list on purpose: there is none for a token, a signature, a request body or a query.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp

# Most fields hold what a stranger sent.
TEXT_CHARACTERS_MAX: Final = 1024


class AuditEvent(StrEnum):
    API_CALL = "api-call"
    LOGIN = "login"


class AuditOutcome(StrEnum):
    ALLOWED = "allowed"
    REFUSED = "refused"  # by a rule: signature, policy, limit, malformed request
    FAILED = "failed"  # by us


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Fields that are None are left out of the line."""

    time: Timestamp
    event: AuditEvent
    outcome: AuditOutcome
    request_id: str
    # Address and port of the peer.
    source: str
    # What was asked for: `dsql:CreateCluster`, `dsql:DbConnectAdmin`; and of what, as an ARN.
    action: str | None = None
    resource: str | None = None
    # Who asks, as far as it is known. The access key is its public identifier, never the secret.
    principal: str | None = None
    access_key: str | None = None
    # Verified principals have an ARN; a refused one only claims its access key.
    database_user: str | None = None
    # Error code of the API or SQLSTATE, and the message that the client got.
    status: str | None = None
    message: str | None = None
    # User-Agent or application_name.
    agent: str | None = None


def encode_record(record: AuditRecord) -> bytes:
    """One line of ASCII, with its line feed. Control characters and everything beyond ASCII are escaped."""
    line: dict[str, str] = {
        "time": _format_time(record.time),
        "event": record.event.value,
        "outcome": record.outcome.value,
    }
    texts = {
        "requestId": record.request_id,
        "source": record.source,
        "action": record.action,
        "resource": record.resource,
        "principal": record.principal,
        "accessKey": record.access_key,
        "databaseUser": record.database_user,
        "status": record.status,
        "message": record.message,
        "agent": record.agent,
    }
    line.update((name, text[:TEXT_CHARACTERS_MAX]) for name, text in texts.items() if text is not None)
    return json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _format_time(time: Timestamp) -> str:
    seconds, nanoseconds = divmod(time, NANOSECONDS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"

"""What the store tells about its rows, for whoever lists or shows them. No secret is in any of it but in `NewAccessKey`
and `TemporaryCredentials`, where it prints as nothing."""

from dataclasses import dataclass

from borealis.foundation.identifiers import Timestamp
from borealis.iam.names import EntityKind
from borealis.iam.secret import Secret


@dataclass(frozen=True, slots=True)
class EntityRecord:
    id: str
    account: str
    kind: EntityKind
    path: str
    name: str
    arn: str
    description: str
    created_at: Timestamp
    boundary: str | None = None
    """ARN of a policy."""
    trust_policy: str | None = None
    session_s_max: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    id: str
    arn: str
    account: str
    path: str
    name: str
    description: str
    document: str
    created_at: Timestamp
    updated_at: Timestamp


@dataclass(frozen=True, slots=True)
class AccessKeyRecord:
    id: str
    entity_id: str
    entity_arn: str
    is_active: bool
    created_at: Timestamp


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    id: str
    entity_arn: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """`arn` is the session's."""

    access_key_id: str
    secret: Secret
    session_token: Secret
    expires_at: Timestamp
    arn: str
    user_id: str

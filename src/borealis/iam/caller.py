"""Who calls: the entity that a credential belongs to, the session if there is one, and what its policies are.

Values only. A `VerifiedCaller` is made by a successful verification and by nothing else, and holds the policies as they
were at that moment, so that a decision is about one state of the store.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from borealis.foundation.identifiers import Timestamp
from borealis.iam.names import EntityKind, session_arn

if TYPE_CHECKING:
    from borealis.iam.policies import Policy


class ConnectAction(Enum):
    """What a token asks for; the value is what it says in its parameter Action."""

    CONNECT = "DbConnect"
    CONNECT_ADMIN = "DbConnectAdmin"

    @property
    def permission(self) -> str:
        return f"dsql:{self.value}"


@dataclass(frozen=True, slots=True)
class Entity:
    """A user, a role or the root of an account, with everything that decides what it may do."""

    kind: EntityKind
    account: str
    id: str
    """Unique for ever (AIDA…, AROA…); the account's number for its root."""
    name: str
    arn: str
    tags: tuple[tuple[str, str], ...] = ()
    policies: "tuple[Policy, ...]" = field(default=(), repr=False)
    """Inline, attached, and those of its groups."""
    boundary: "Policy | None" = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """Of a role: what temporary credentials say beside who the role is."""

    name: str
    issued_at: Timestamp
    expires_at: Timestamp
    policy: "Policy | None" = field(default=None, repr=False)
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedCaller:
    """Somebody who proved to have the secret of an access key.

    `connect_action` is what a token asked for; None for a signed request."""

    entity: Entity
    session: Session | None
    access_key_id: str
    connect_action: ConnectAction | None = None

    @property
    def arn(self) -> str:
        """Who it is in messages and logs: of a session, the session's."""
        if self.session is None:
            return self.entity.arn
        return session_arn(self.entity.account, self.entity.name, self.session.name)

    @property
    def principal_arn(self) -> str:
        """What `aws:PrincipalArn` says and what AWS IAM GRANT maps to database roles: of a session, its role's."""
        return self.entity.arn

    @property
    def account(self) -> str:
        return self.entity.account

    @property
    def user_id(self) -> str:
        """`aws:userid`: of a session, role identifier and session name."""
        return self.entity.id if self.session is None else f"{self.entity.id}:{self.session.name}"

"""Access keys as verification needs them: who they belong to, and how they sign."""

from dataclasses import dataclass
from typing import Protocol

from borealis.foundation.identifiers import Timestamp
from borealis.iam.caller import ConnectAction, Entity, Session, VerifiedCaller
from borealis.iam.sigv4 import SigningSecret


@dataclass(frozen=True, slots=True)
class Credential:
    """A usable access key: active, of an entity that exists; temporary when it has a session."""

    access_key_id: str
    entity: Entity
    session: Session | None
    signing: SigningSecret

    def verified(self, connect_action: ConnectAction | None = None) -> VerifiedCaller:
        """To be called once the signature was found right, and never before."""
        return VerifiedCaller(self.entity, self.session, self.access_key_id, connect_action)


class CredentialSource(Protocol):
    """Where access keys come from: the store, as `IamReader` shows it."""

    def find_credential(self, access_key_id: str, session_token: str | None, now: Timestamp) -> Credential:
        """Raises AuthenticationRefused for a key that is unknown, inactive, expired, or not of this session token."""
        ...

"""Temporary credentials: everything about them is in the session token itself, sealed.

Owns the token's format (docs/formats.md). Nothing is stored when a role is assumed, and a token opens in every process
that has the master key. It names its role by the role's unique identifier, so that it dies with the role; what the role
may do is looked up at each use.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Final

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam.names import RandomBytes
from borealis.iam.sealing import CannotUnseal, Seal
from borealis.iam.secret import Secret

PURPOSE: Final = "session token 1"
TOKEN_CHARACTERS_MAX: Final = 8_192
_ASSOCIATED: Final = b"session token"
_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class SessionContents:
    """What a session token says. Moments in whole seconds."""

    access_key_id: str
    secret: Secret = field(repr=False)
    role_id: str
    session_name: str
    issued_at: Timestamp
    expires_at: Timestamp
    policy: str | None
    tags: tuple[tuple[str, str], ...]


def seal_session(contents: SessionContents, seal: Seal, random: RandomBytes) -> str:
    text = json.dumps(
        {
            "key": contents.access_key_id,
            "secret": contents.secret.reveal(),
            "role": contents.role_id,
            "name": contents.session_name,
            "issued": contents.issued_at // NANOSECONDS_PER_SECOND,
            "expires": contents.expires_at // NANOSECONDS_PER_SECOND,
            "policy": contents.policy,
            "tags": dict(contents.tags),
        },
        separators=(",", ":"),
    )
    return base64.urlsafe_b64encode(_VERSION + seal.seal(text.encode(), _ASSOCIATED, random)).rstrip(b"=").decode()


def open_session(token: str, seal: Seal) -> SessionContents:
    """Raises Malformed for what was not sealed by us. Says nothing about whether it has expired."""
    if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
        raise Malformed("not a session token")
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("not a session token") from None
    if base64.urlsafe_b64encode(sealed).rstrip(b"=") != token.encode():
        raise Malformed("not a session token as we write them")
    if sealed[:1] != _VERSION:
        raise Malformed("not a session token of this version")
    try:
        text = seal.unseal(sealed[1:], _ASSOCIATED)
    except CannotUnseal:
        raise Malformed("not a session token of this installation") from None
    # Sealed by us: it has the form that `seal_session` gave it.
    found = json.loads(text)
    return SessionContents(
        found["key"],
        Secret(found["secret"]),
        found["role"],
        found["name"],
        Timestamp(found["issued"] * NANOSECONDS_PER_SECOND),
        Timestamp(found["expires"] * NANOSECONDS_PER_SECOND),
        found["policy"],
        tuple(found["tags"].items()),
    )

"""Who is meant by the Principal of a resource or trust policy.

Owns the forms of a principal and how closely each names a caller, which decides what else has to allow the request:
a policy that names the user or the session itself lets it in alone, one that names the account leaves the choice to
the account. Pure.

Source: IAM User Guide, "Policy elements: Principal" and "NotPrincipal".
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from borealis.iam.caller import VerifiedCaller
from borealis.iam.errors import MalformedPolicy
from borealis.iam.names import EntityKind, account_arn

_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_PRINCIPAL_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:(iam::[0-9]{12}:(root|(user|role)/[\x21-\x29\x2b-\x3e\x40-\x7e]+)"
    r"|sts::[0-9]{12}:(assumed-role|federated-user)/[\x21-\x29\x2b-\x3e\x40-\x7e]+)",
    re.ASCII,
)
_UNIQUE_ID: Final = re.compile(r"(AIDA|AROA)[A-Z2-7]{16}", re.ASCII)
_FOREIGN_KINDS: Final = ("Service", "Federated", "CanonicalUser")


class Closeness(IntEnum):
    """How a principal names a caller; the greater, the closer."""

    NOT = 0
    ACCOUNT = 1
    ROLE = 2
    """The role whose session calls."""
    DIRECT = 3
    """The user, the session, the root of the account, or everybody."""


@dataclass(frozen=True, slots=True)
class PrincipalPattern:
    """The callers that a statement is about, or with `is_negated` those that it is not about."""

    is_negated: bool
    has_everybody: bool
    arns: frozenset[str]
    """ARNs of users, roles and sessions, and unique identifiers of users and roles."""
    accounts: frozenset[str]

    def closeness(self, caller: VerifiedCaller) -> Closeness:
        if self.is_negated:
            # An account in NotPrincipal excepts its root alone, not its users.
            excepted = self.has_everybody or self._names(caller) >= Closeness.ROLE
            return Closeness.NOT if excepted else Closeness.DIRECT
        return Closeness.DIRECT if self.has_everybody else self._names(caller)

    def _names(self, caller: VerifiedCaller) -> Closeness:
        entity = caller.entity
        if caller.arn in self.arns:
            return Closeness.DIRECT
        if entity.arn in self.arns or entity.id in self.arns:
            return Closeness.ROLE if entity.kind is EntityKind.ROLE else Closeness.DIRECT
        if entity.account in self.accounts:
            return Closeness.DIRECT if entity.kind is EntityKind.ROOT else Closeness.ACCOUNT
        return Closeness.NOT


def parse_principals(found: Any, *, is_negated: bool) -> PrincipalPattern:
    """Raises MalformedPolicy. Services and federated identities are accepted and match nobody: nobody calls as one."""
    if found == "*":
        return PrincipalPattern(is_negated, True, frozenset(), frozenset())
    if not isinstance(found, dict) or not found:
        raise MalformedPolicy('must be "*" or a JSON object such as {"AWS": "arn:aws:iam::123456789012:user/name"}')
    arns: set[str] = set()
    accounts: set[str] = set()
    has_everybody = False
    for kind, values in found.items():
        texts = values if isinstance(values, list) else [values]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise MalformedPolicy(f"{kind[:64]}: must be a string or a list of strings")
        if kind in _FOREIGN_KINDS:
            continue
        if kind != "AWS":
            raise MalformedPolicy(
                f"{kind[:64]!r} is not a kind of principal; there are AWS, {', '.join(_FOREIGN_KINDS)}"
            )
        for text in texts:
            account = text if _ACCOUNT.fullmatch(text) else _account_of_root(text)
            if text == "*":
                has_everybody = True
            elif account is not None:
                accounts.add(account)
            elif _PRINCIPAL_ARN.fullmatch(text) or _UNIQUE_ID.fullmatch(text):
                arns.add(text)
            else:
                raise MalformedPolicy(
                    f'{text[:256]!r} is not a principal: an account, the ARN of a user, a role or a session, or "*"'
                )
    return PrincipalPattern(is_negated, has_everybody, frozenset(arns), frozenset(accounts))


def _account_of_root(text: str) -> str | None:
    parts = text.split(":")
    return parts[4] if len(parts) == 6 and _ACCOUNT.fullmatch(parts[4]) and text == account_arn(parts[4]) else None

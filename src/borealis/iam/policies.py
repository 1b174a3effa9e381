"""Policy documents: JSON taken apart strictly, into statements that are ready to be matched.

Owns the grammar. Promises that a document which was accepted means what AWS lets it mean, and that one which AWS would
refuse or which says something twice is refused with a sentence that names the place. Pure.

Source: IAM User Guide, "Grammar of the IAM JSON policy language".
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeAlias

from borealis.iam.conditions import AnyCondition, parse_condition
from borealis.iam.errors import MalformedPolicy
from borealis.iam.patterns import ConditionKeys, Pattern
from borealis.iam.principals import PrincipalPattern, parse_principals

RESOURCE_POLICY_CHARACTERS_MAX: Final = 20_480
IDENTITY_POLICY_CHARACTERS_MAX: Final = 6_144
TRUST_POLICY_CHARACTERS_MAX: Final = 4_096
SESSION_POLICY_CHARACTERS_MAX: Final = 2_048
DOCUMENT_CHARACTERS_MAX: Final = 32_768
"""Of any document, white space included."""

_VERSIONS: Final = ("2008-10-17", "2012-10-17")
_VERSION_DEFAULT: Final = "2008-10-17"
_VERSION_WITH_VARIABLES: Final = "2012-10-17"
_DOCUMENT_ELEMENTS: Final = ("Version", "Id", "Statement")
_STATEMENT_ELEMENTS: Final = (
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
_IDENTITY_SID: Final = re.compile(r"[A-Za-z0-9]*")
_ACTION: Final = re.compile(r"\*|[a-z0-9-]+:[A-Za-z0-9*?]+", re.ASCII | re.IGNORECASE)
_CONDITION_KEY: Final = re.compile(r"[A-Za-z0-9-]+:[^\s/][^\x00-\x1f]*")


class PolicyKind(Enum):
    """What a document is attached to, which decides what it has to say."""

    IDENTITY = "identity"
    RESOURCE = "resource"
    TRUST = "trust"


_CHARACTERS_MAX: Final = {
    PolicyKind.IDENTITY: IDENTITY_POLICY_CHARACTERS_MAX,
    PolicyKind.RESOURCE: RESOURCE_POLICY_CHARACTERS_MAX,
    PolicyKind.TRUST: TRUST_POLICY_CHARACTERS_MAX,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """An element or its negation: Action or NotAction, Resource or NotResource."""

    patterns: tuple[Pattern, ...]
    is_negated: bool

    def includes(self, value: str, keys: ConditionKeys) -> bool:
        if self.is_negated and not all(pattern.is_resolved(keys) for pattern in self.patterns):
            return False
        return any(pattern.matches(value, keys) for pattern in self.patterns) != self.is_negated


@dataclass(frozen=True, slots=True)
class Statement:
    """`principals` is None in identity policies, `resources` in trust policies: whoever it is attached to."""

    sid: str | None
    is_allow: bool
    actions: Choice
    resources: Choice | None
    principals: PrincipalPattern | None
    conditions: tuple[AnyCondition, ...]

    def applies(self, action: str, resource: str, keys: ConditionKeys) -> bool:
        """Whatever its principals say. `action` in lower case."""
        return (
            self.actions.includes(action, keys)
            and (self.resources is None or self.resources.includes(resource, keys))
            and all(condition.holds(keys) for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    kind: PolicyKind
    statements: tuple[Statement, ...]


@lru_cache(maxsize=1024)
def parse_policy(text: str, kind: PolicyKind) -> Policy:
    """Raises MalformedPolicy. Kept for the next caller: a policy is parsed once for as long as it is in use."""
    check_length(text, kind, _CHARACTERS_MAX[kind])
    document = _load(text)
    if not isinstance(document, dict):
        raise MalformedPolicy("a policy is a JSON object with the elements Version and Statement")
    _check_elements(document, _DOCUMENT_ELEMENTS, "the policy")
    version = document.get("Version", _VERSION_DEFAULT)
    if version not in _VERSIONS:
        raise MalformedPolicy(f"Version: must be {' or '.join(_VERSIONS)}")
    if not isinstance(document.get("Id", ""), str):
        raise MalformedPolicy("Id: must be a string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("Statement: must be a statement or a list of them")
    parsed = tuple(
        _Place(kind, version == _VERSION_WITH_VARIABLES, f"Statement {number}").parse(statement)
        for number, statement in enumerate(statements, 1)
    )
    sids = [statement.sid for statement in parsed if statement.sid]
    if len(sids) != len(frozenset(sids)):
        raise MalformedPolicy("Sid: no two statements may have the same")
    return Policy(kind, parsed)


def check_length(text: str, kind: PolicyKind, characters_max: int) -> None:
    """Raises MalformedPolicy. As in AWS, white space does not count, except in the policy of a resource."""
    characters = len(text) if kind is PolicyKind.RESOURCE else len("".join(text.split()))
    if characters > characters_max or len(text) > DOCUMENT_CHARACTERS_MAX:
        raise MalformedPolicy(f"a policy of this kind has at most {characters_max} characters, not {characters}")


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise MalformedPolicy(f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise MalformedPolicy("nested too deeply") from None
    except ValueError:  # a number of thousands of digits
        raise MalformedPolicy("a number is too long") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise MalformedPolicy(f"{name} is there twice")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise MalformedPolicy(f"not JSON: {name}")


def _check_elements(found: dict[str, Any], known: Sequence[str], where: str) -> None:
    for name in found:
        if name not in known:
            raise MalformedPolicy(f"{where} has no element {name[:64]!r}; there are {', '.join(known)}")


Makes: TypeAlias = Callable[[str], Pattern]


@dataclass(frozen=True, slots=True)
class _Place:
    """One statement being parsed; knows where it is, to say so."""

    kind: PolicyKind
    has_variables: bool
    name: str

    def parse(self, found: Any) -> Statement:
        if not isinstance(found, dict):
            raise self._error("", "must be a JSON object")
        _check_elements(found, _STATEMENT_ELEMENTS, self.name)
        effect = found.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise self._error("Effect", "must be Allow or Deny")
        actions = self._parse_choice(found, "Action", self._action)
        if actions is None:
            raise self._error("Action", "there must be an Action or a NotAction")
        resources = self._parse_choice(found, "Resource", self._resource)
        if resources is None and self.kind is not PolicyKind.TRUST:
            raise self._error("Resource", "there must be a Resource or a NotResource")
        if resources is not None and self.kind is PolicyKind.TRUST:
            raise self._error("Resource", "the policy of a role is about the role: leave it out")
        return Statement(
            self._parse_sid(found.get("Sid")),
            effect == "Allow",
            actions,
            resources,
            self._parse_principals(found),
            self._parse_conditions(found.get("Condition", {})),
        )

    def _parse_sid(self, sid: Any) -> str | None:
        if sid is None:
            return None
        if not isinstance(sid, str) or (self.kind is PolicyKind.IDENTITY and not _IDENTITY_SID.fullmatch(sid)):
            raise self._error("Sid", "must be a string of letters and digits")
        return sid

    def _parse_choice(self, found: dict[str, Any], name: str, make: Makes) -> Choice | None:
        if name in found and f"Not{name}" in found:
            raise self._error(name, f"there is a Not{name} too; choose one of them")
        for element, is_negated in ((name, False), (f"Not{name}", True)):
            if element in found:
                texts = self._parse_texts(element, found[element])
                try:
                    return Choice(tuple(make(text) for text in texts), is_negated)
                except MalformedPolicy as error:
                    raise self._error(element, str(error)) from None
        return None

    def _action(self, text: str) -> Pattern:
        if not _ACTION.fullmatch(text):
            raise MalformedPolicy(f'{text[:128]!r} must be "*" or service:action, such as dsql:DbConnect')
        return Pattern(text.lower(), has_wildcards=True, has_variables=False)

    def _resource(self, text: str) -> Pattern:
        return Pattern(text, has_wildcards=True, has_variables=self.has_variables, is_arn=True)

    def _parse_principals(self, found: dict[str, Any]) -> PrincipalPattern | None:
        elements = [name for name in ("Principal", "NotPrincipal") if name in found]
        if self.kind is PolicyKind.IDENTITY:
            if elements:
                raise self._error(elements[0], "an identity's policy is about the identity: leave it out")
            return None
        if len(elements) != 1:
            raise self._error("Principal", "there must be a Principal or a NotPrincipal, and not both")
        try:
            return parse_principals(found[elements[0]], is_negated=elements[0] == "NotPrincipal")
        except MalformedPolicy as error:
            raise self._error(elements[0], str(error)) from None

    def _parse_conditions(self, found: Any) -> tuple[AnyCondition, ...]:
        if not isinstance(found, dict):
            raise self._error("Condition", "must be a JSON object of operators")
        conditions: list[AnyCondition] = []
        for operator, keys in found.items():
            if not isinstance(keys, dict) or not keys:
                raise self._error(f"Condition: {operator[:64]}", "must be a JSON object of condition keys")
            lowered = [key.lower() for key in keys]
            if len(lowered) != len(frozenset(lowered)):
                raise self._error(f"Condition: {operator[:64]}", "a key is there twice, in different case")
            for key, values in keys.items():
                if not _CONDITION_KEY.fullmatch(key):
                    raise self._error("Condition", f"{key[:128]!r} is not a condition key such as aws:SourceIp")
                texts = self._parse_texts(f"Condition: {operator[:64]}: {key[:128]}", values, takes_scalars=True)
                try:
                    conditions.append(parse_condition(operator, key, texts, self.has_variables))
                except MalformedPolicy as error:
                    raise self._error("Condition", str(error)) from None
        return tuple(conditions)

    def _parse_texts(self, element: str, found: Any, *, takes_scalars: bool = False) -> list[str]:
        """A string or a list of them; condition values may be numbers and booleans too."""
        values = found if isinstance(found, list) else [found]
        if not values:
            raise self._error(element, "must not be empty")
        texts: list[str] = []
        for value in values:
            if takes_scalars and isinstance(value, bool | int | float):
                texts.append(json.dumps(value))
            elif isinstance(value, str):
                texts.append(value)
            else:
                raise self._error(element, "must be a string or a list of strings")
        return texts

    def _error(self, element: str, text: str) -> MalformedPolicy:
        return MalformedPolicy(": ".join(part for part in (self.name, element, text) if part))

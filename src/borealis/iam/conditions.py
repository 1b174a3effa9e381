"""The Condition element of policies: operators, several values, keys that are not there.

Owns what each operator means. Pure. Values in the document are checked when it is parsed; values of a request that
do not have the form (a number that is none) match nothing.

Sources: IAM User Guide, "Policy elements: Condition operators" and "Single-valued vs. multivalued context keys".
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from operator import eq, ge, gt, le, lt
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from borealis.iam.errors import MalformedPolicy
from borealis.iam.patterns import ConditionKeys, Pattern


class Test(Protocol):
    """One value of the policy."""

    def matches(self, value: str, keys: ConditionKeys) -> bool:
        """Does a value of the request match it?"""
        ...

    def is_resolved(self, keys: ConditionKeys) -> bool:
        """Have its variables values?"""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test of operators that know no variables."""

    compare: Callable[[str], bool]

    def matches(self, value: str, keys: ConditionKeys) -> bool:  # noqa: ARG002
        return self.compare(value)

    def is_resolved(self, keys: ConditionKeys) -> bool:  # noqa: ARG002
        return True


T = TypeVar("T")


class Quantifier(Enum):
    """How several values of one key are taken together."""

    NONE = ""
    ALL = "ForAllValues"
    ANY = "ForAnyValue"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator, one key, its values."""

    key: str
    quantifier: Quantifier
    is_negated: bool
    if_exists: bool
    tests: tuple[Test, ...]

    def holds(self, keys: ConditionKeys) -> bool:
        values = keys.get(self.key, ())
        if not values:
            return self._holds_without_value()
        if self.is_negated and not all(test.is_resolved(keys) for test in self.tests):
            return False
        if self.quantifier is Quantifier.ALL:
            return all(self._matches(value, keys) != self.is_negated for value in values)
        if self.quantifier is Quantifier.ANY:
            return any(self._matches(value, keys) != self.is_negated for value in values)
        return any(self._matches(value, keys) for value in values) != self.is_negated

    def _holds_without_value(self) -> bool:
        if self.quantifier is Quantifier.ALL or self.if_exists:
            return True
        return self.quantifier is Quantifier.NONE and self.is_negated

    def _matches(self, value: str, keys: ConditionKeys) -> bool:
        return any(test.matches(value, keys) for test in self.tests)


@dataclass(frozen=True, slots=True)
class NullCondition:
    """The operator Null: is the key there or not?"""

    key: str
    wants_absent: frozenset[bool]

    def holds(self, keys: ConditionKeys) -> bool:
        return (not keys.get(self.key, ())) in self.wants_absent


AnyCondition: TypeAlias = Condition | NullCondition


def parse_condition(operator: str, key: str, values: Sequence[str], has_variables: bool) -> AnyCondition:
    """Raises MalformedPolicy. `has_variables`: the version of the document knows policy variables."""
    name = operator
    quantifier = Quantifier.NONE
    prefix, colon, rest = name.partition(":")
    if colon:
        if prefix not in (Quantifier.ALL.value, Quantifier.ANY.value):
            raise MalformedPolicy(f"{operator} is not a condition operator")
        quantifier, name = Quantifier(prefix), rest
    if name == "Null" and not colon:
        return NullCondition(key.lower(), frozenset(_parse_bool(value) for value in values))
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    try:
        make_test, is_negated = _OPERATORS[name]
    except KeyError:
        raise MalformedPolicy(f"{operator} is not a condition operator") from None
    tests = tuple(make_test(value, has_variables) for value in values)
    return Condition(key.lower(), quantifier, is_negated, if_exists, tests)


def _text_test(
    *, has_wildcards: bool = False, is_arn: bool = False, ignores_case: bool = False
) -> Callable[[str, bool], Test]:
    def make(text: str, has_variables: bool) -> Test:
        return Pattern(
            text,
            has_wildcards=has_wildcards,
            has_variables=has_variables,
            is_arn=is_arn,
            ignores_case=ignores_case,
        )

    return make


def _compared(parse: Callable[[str], T], compare: Callable[[Any, Any], bool]) -> Callable[[str, bool], Test]:
    def make(text: str, has_variables: bool) -> Test:  # noqa: ARG001 - these operators know no variables
        wanted = parse(text)

        def test(value: str) -> bool:
            try:
                return compare(parse(value), wanted)
            except MalformedPolicy:
                return False

        return Comparison(test)

    return make


def _parse_number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise MalformedPolicy(f"{text!r} is not a number")
    return number


def _parse_moment(text: str) -> Decimal:
    """ISO 8601, or seconds since the Unix epoch; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text) if "-" in text[1:] else None
    except ValueError:
        raise MalformedPolicy(f"{text!r} is not a date such as 2026-12-31T23:59:59Z") from None
    if moment is None:
        return _parse_number(text)
    return Decimal(str((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


def _parse_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise MalformedPolicy(f"{text!r} is neither true nor false")
    return lowered == "true"


def _parse_binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedPolicy(f"{text!r} is not base64") from None


def _make_address_test(text: str, has_variables: bool) -> Test:  # noqa: ARG001 - knows no variables
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise MalformedPolicy(f"{text!r} is not an address range such as 203.0.113.0/24 or 2001:db8::/32") from None

    def test(value: str) -> bool:
        address = _parse_address(value)
        return address is not None and address.version == network.version and address in network

    return Comparison(test)


@lru_cache(maxsize=1024)
def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both families shows IPv4 callers so.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


_OPERATORS: Final[dict[str, tuple[Callable[[str, bool], Test], bool]]] = {
    "StringEquals": (_text_test(), False),
    "StringNotEquals": (_text_test(), True),
    "StringEqualsIgnoreCase": (_text_test(ignores_case=True), False),
    "StringNotEqualsIgnoreCase": (_text_test(ignores_case=True), True),
    "StringLike": (_text_test(has_wildcards=True), False),
    "StringNotLike": (_text_test(has_wildcards=True), True),
    "NumericEquals": (_compared(_parse_number, eq), False),
    "NumericNotEquals": (_compared(_parse_number, eq), True),
    "NumericLessThan": (_compared(_parse_number, lt), False),
    "NumericLessThanEquals": (_compared(_parse_number, le), False),
    "NumericGreaterThan": (_compared(_parse_number, gt), False),
    "NumericGreaterThanEquals": (_compared(_parse_number, ge), False),
    "DateEquals": (_compared(_parse_moment, eq), False),
    "DateNotEquals": (_compared(_parse_moment, eq), True),
    "DateLessThan": (_compared(_parse_moment, lt), False),
    "DateLessThanEquals": (_compared(_parse_moment, le), False),
    "DateGreaterThan": (_compared(_parse_moment, gt), False),
    "DateGreaterThanEquals": (_compared(_parse_moment, ge), False),
    "Bool": (_compared(_parse_bool, eq), False),
    "BinaryEquals": (_compared(_parse_binary, eq), False),
    "IpAddress": (_make_address_test, False),
    "NotIpAddress": (_make_address_test, True),
    # Both pairs take wildcards: they behave the same in AWS.
    "ArnEquals": (_text_test(has_wildcards=True, is_arn=True), False),
    "ArnLike": (_text_test(has_wildcards=True, is_arn=True), False),
    "ArnNotEquals": (_text_test(has_wildcards=True, is_arn=True), True),
    "ArnNotLike": (_text_test(has_wildcards=True, is_arn=True), True),
}

"""Texts of policies that stand for many: wildcards, ARNs, policy variables.

Owns the three rules of matching. `*` stands for any run of characters and `?` for one; in an ARN neither of them
crosses a colon of the first five segments; `${key}` and `${key, 'default'}` stand for the value of a condition key,
which is taken literally whatever it contains, and `${*}`, `${?}`, `${$}` for the characters themselves. A variable
without a value keeps its statement from applying, also where the text stands in a negation. Promises that matching
takes time proportional to the product of both lengths at most: patterns come from tenants.

Source: IAM User Guide, "Policy elements: Resource" and "Variables and tags".
"""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from borealis.iam.errors import MalformedPolicy


class ConditionKeys(Protocol):
    """Values by condition key, the key in lower case. A key that is not there and one without values mean the same."""

    def get(self, key: str, default: tuple[str, ...], /) -> tuple[str, ...]: ...


_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_VARIABLE_BODY: Final = re.compile(r"\s*([A-Za-z0-9:/_.+=@-]+)\s*(?:,\s*'([^']*)'\s*)?")
_ARN_SEGMENTS: Final = 6


class _Wildcard(Enum):
    RUN = "*"
    ONE = "?"


class _Variable:
    __slots__ = ("default", "key")

    def __init__(self, key: str, default: str | None) -> None:
        self.key = key.lower()
        self.default = default

    def resolve(self, keys: ConditionKeys) -> str | None:
        """None when there is no value, or several: the text then matches nothing."""
        values = keys.get(self.key, ())
        return values[0] if len(values) == 1 else self.default


_Part: TypeAlias = str | _Wildcard | _Variable


class Pattern:
    """One text of a policy, ready to be matched."""

    __slots__ = ("_ignores_case", "_is_arn", "_parts", "_regex")

    def __init__(
        self,
        text: str,
        *,
        has_wildcards: bool,
        has_variables: bool,
        is_arn: bool = False,
        ignores_case: bool = False,
    ) -> None:
        """`is_arn`: six segments, or `*` alone. Raises MalformedPolicy."""
        self._parts = _split(text, has_wildcards, has_variables)
        self._is_arn = is_arn and text != "*"
        self._ignores_case = ignores_case
        colons = sum(part.count(":") for part in self._parts if isinstance(part, str))
        if self._is_arn and (colons < _ARN_SEGMENTS - 1 or not text.startswith("arn:")):
            raise MalformedPolicy(f'{text} must be an ARN (arn:partition:service:region:account:resource) or "*"')
        has_any = any(isinstance(part, _Variable) for part in self._parts)
        self._regex = None if has_any else self._compile(self._parts)

    def matches(self, value: str, keys: ConditionKeys) -> bool:
        regex = self._regex
        if regex is None:
            resolved: list[_Part] = []
            for part in self._parts:
                known = part.resolve(keys) if isinstance(part, _Variable) else part
                if known is None:
                    return False
                resolved.append(known)
            regex = self._compile(resolved)
        return regex.fullmatch(value.lower() if self._ignores_case else value) is not None

    def is_resolved(self, keys: ConditionKeys) -> bool:
        """Whether all its variables have a value."""
        return self._regex is not None or all(
            part.resolve(keys) is not None for part in self._parts if isinstance(part, _Variable)
        )

    def _compile(self, parts: Sequence[_Part]) -> re.Pattern[str]:
        if self._ignores_case:
            parts = [part.lower() if isinstance(part, str) else part for part in parts]
        if not self._is_arn:
            return _compiled(_glob(parts, "."))
        segments: list[list[_Part]] = [[]]
        for written, part in zip(self._parts, parts, strict=True):
            # Only a colon that the author wrote ends a segment, not one that a variable's value brings.
            if isinstance(written, str):
                first, *others = written.split(":", _ARN_SEGMENTS - len(segments))
                segments[-1].append(first)
                segments.extend([other] for other in others)
            else:
                segments[-1].append(part)
        regexes = [_glob(segment, "[^:]") for segment in segments[:-1]]
        return _compiled(":".join([*regexes, _glob(segments[-1], ".")]))


@lru_cache(maxsize=4096)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex, re.DOTALL)


def _glob(parts: Sequence[_Part], character: str) -> str:
    """A regular expression. What stands between two runs is taken where it first occurs and never given back, which is
    right for runs and keeps a hostile pattern from trying every combination."""
    pieces = [""]
    for part in parts:
        if part is _Wildcard.RUN:
            pieces.append("")
        elif part is _Wildcard.ONE:
            pieces[-1] += character
        else:
            assert isinstance(part, str)
            pieces[-1] += re.escape(part)
    if len(pieces) == 1:
        return pieces[0]
    middle = "".join(f"(?>{character}*?{piece})" for piece in pieces[1:-1] if piece)
    return f"{pieces[0]}{middle}{character}*{pieces[-1]}"


def _split(text: str, has_wildcards: bool, has_variables: bool) -> list[_Part]:
    if not has_variables:
        return _split_wildcards(text, has_wildcards)
    parts: list[_Part] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts.extend(_split_wildcards(text[end : found.start()], has_wildcards))
        parts.append(_parse_variable(found.group(1)))
        end = found.end()
    parts.extend(_split_wildcards(text[end:], has_wildcards))
    return parts


def _parse_variable(body: str) -> _Part:
    if body in ("*", "?", "$"):
        return body
    found = _VARIABLE_BODY.fullmatch(body)
    if not found:
        raise MalformedPolicy(f"${{{body}}} is not a policy variable such as ${{aws:username}}")
    return _Variable(found.group(1), found.group(2))


def _split_wildcards(text: str, has_wildcards: bool) -> list[_Part]:
    if not has_wildcards:
        return [text] if text else []
    return [_Wildcard(piece) if piece in ("*", "?") else piece for piece in re.split(r"([*?])", text) if piece]

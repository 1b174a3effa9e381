"""The vocabulary in which the API is described: shapes of values, members of structures, operations.

Declarations only; `model` says what the API looks like with them, `validation` checks values against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Place(Enum):
    """Where in a request a member stands."""

    BODY = "body"
    PATH = "uri"
    QUERY = "querystring"


@dataclass(frozen=True)
class Text:
    """Lengths count characters. `pattern` must match the whole text."""

    pattern: str | None = None
    characters_min: int | None = None
    characters_max: int | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Number:
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Flag:
    pass


@dataclass(frozen=True)
class Instant:
    """Seconds since the Unix epoch, as a JSON number."""


@dataclass(frozen=True)
class Sequence:
    member: "Shape"
    count_min: int | None = None
    count_max: int | None = None


@dataclass(frozen=True)
class Table:
    key: Text
    value: Text
    count_min: int | None = None
    count_max: int | None = None


@dataclass(frozen=True)
class Member:
    shape: "Shape"
    is_required: bool = False
    place: Place = Place.BODY
    # In the path or the query, where it differs from the member's own.
    name: str | None = None
    # Clients make one up where the user gives none.
    is_client_token: bool = False


@dataclass(frozen=True)
class Structure:
    members: Mapping[str, Member] = field(default_factory=dict)


Shape = Text | Number | Flag | Instant | Sequence | Table | Structure


@dataclass(frozen=True)
class Operation:
    """`path` is a template; the part in braces is the name of a member that stands there.

    `input` and `output` are None for an operation that is known but not supported."""

    name: str
    method: str
    path: str
    input: Structure | None
    output: Structure | None = None
    # Codes of the errors that it may answer.
    errors: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """What a policy has to allow."""
        return f"dsql:{self.name}"

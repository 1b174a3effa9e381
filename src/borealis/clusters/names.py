"""What a cluster is called: its identifier, its ARN and the host name of its endpoint.

Owns the three spellings and their parsers. A name that comes from a client, an SNI or a policy is hostile until one of
these has taken it; afterwards it is a type of its own and safe in a path, a host name or a log line. Nothing here does
I/O except `make_identifier`, which asks the operating system for randomness.
"""

import base64
import re
import secrets
from dataclasses import dataclass
from typing import Final, NewType, Self

from borealis.foundation.errors import BorealisError

ClusterIdentifier = NewType("ClusterIdentifier", str)
"""26 characters a-z and 0-9; names one cluster for ever, and is never given to another one."""

IDENTIFIER_CHARACTERS: Final = 26
_IDENTIFIER_RANDOM_BYTES: Final = 16  # in base 32 these are exactly 26 characters

REGION_DEFAULT: Final = "us-east-1"
ACCOUNT_DEFAULT: Final = "000000000000"
DOMAIN_DEFAULT: Final = "localhost"

_IDENTIFIER: Final = re.compile(r"[a-z0-9]{26}")
_REGION: Final = re.compile(r"[a-z]{2,8}(-[a-z]{2,16}){1,3}-[0-9]{1,2}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_CHARACTERS_MAX: Final = 253
_SERVICE: Final = "dsql"
_PARTITION: Final = "aws"


class InvalidName(BorealisError):  # noqa: N818 - it says what is wrong
    """A text that is not the name it claims to be."""


def make_identifier() -> ClusterIdentifier:
    """A new one, of 128 random bits: two clusters never get the same, on however many machines they are made."""
    return ClusterIdentifier(base64.b32encode(secrets.token_bytes(_IDENTIFIER_RANDOM_BYTES)).decode()[:26].lower())


def is_identifier(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None


def parse_identifier(text: str) -> ClusterIdentifier:
    if not is_identifier(text):
        raise InvalidName("a cluster identifier is 26 characters of a-z and 0-9")
    return ClusterIdentifier(text)


def parse_region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise InvalidName("a region is written like us-east-1")
    return text


def parse_account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise InvalidName("an account is 12 digits")
    return text


def parse_domain(text: str) -> str:
    """A DNS name in lower case, of one label or more."""
    if len(text) > _HOST_CHARACTERS_MAX or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise InvalidName("a domain is a DNS name such as localhost or db.example.com, in lower case")
    return text


@dataclass(frozen=True, slots=True)
class ClusterArn:
    """`arn:aws:dsql:<region>:<account>:cluster/<identifier>`: what policies and the API call a cluster."""

    region: str
    account: str
    identifier: ClusterIdentifier

    @classmethod
    def parse(cls, text: str) -> Self:
        parts = text.split(":")
        if len(parts) != 6 or parts[:3] != ["arn", _PARTITION, _SERVICE] or not parts[5].startswith("cluster/"):
            raise InvalidName("a cluster's ARN is arn:aws:dsql:<region>:<account>:cluster/<identifier>")
        identifier = parse_identifier(parts[5].removeprefix("cluster/"))
        return cls(parse_region(parts[3]), parse_account(parts[4]), identifier)

    def __str__(self) -> str:
        return f"arn:{_PARTITION}:{_SERVICE}:{self.region}:{self.account}:cluster/{self.identifier}"


@dataclass(frozen=True, slots=True)
class EndpointName:
    """`<identifier>.dsql.<region>.<domain>`: the host name under which clients reach a cluster."""

    identifier: ClusterIdentifier
    region: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Host names know no case, and may end in the dot of the root."""
        name = text.lower().removesuffix(".")
        if len(name) > _HOST_CHARACTERS_MAX or not text.isascii():
            raise InvalidName("a host name is at most 253 ASCII characters long")
        identifier, _, rest = name.partition(".")
        service, _, rest = rest.partition(".")
        region, _, domain = rest.partition(".")
        if service != _SERVICE:
            raise InvalidName("a cluster's endpoint is <identifier>.dsql.<region>.<domain>")
        return cls(parse_identifier(identifier), parse_region(region), parse_domain(domain))

    def __str__(self) -> str:
        return f"{self.identifier}.{_SERVICE}.{self.region}.{self.domain}"


def api_host(region: str, domain: str) -> str:
    """The host name of the region's API, as `dsql.us-east-1.api.aws` is."""
    return f"{_SERVICE}.{region}.{domain}"

"""Names of principals, policies and access keys: what they may contain, their ARNs, and how new ones are made.

Owns the spellings of IAM (`arn:aws:iam::<account>:user/<path><name>`) and of sessions
(`arn:aws:sts::<account>:assumed-role/<role>/<session>`). A name from outside is checked here before it is stored.
"""

import base64
import re
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

from borealis.clusters.names import InvalidName

PARTITION: Final = "aws"
AWS_ACCOUNT: Final = "aws"
"""Stands for an account in the ARNs of policies that come with the product."""

RandomBytes: TypeAlias = Callable[[int], bytes]

_ENTITY_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_PATH: Final = re.compile(r"/([\x21-\x2e\x30-\x7e]+/){0,64}", re.ASCII)
_PATH_CHARACTERS_MAX: Final = 512
_ACCESS_KEY_ID: Final = re.compile(r"(AKIA|ASIA)[A-Z2-7]{16}", re.ASCII)
_IDENTIFIER_RANDOM_BYTES: Final = 10  # in base 32 these are 16 characters
_SECRET_RANDOM_BYTES: Final = 30  # in base 64 these are 40 characters


class EntityKind(Enum):
    """What policies can be attached to; the value is the word in ARNs and in the store."""

    ROOT = "root"
    USER = "user"
    GROUP = "group"
    ROLE = "role"


_IDENTIFIER_PREFIX: Final = {EntityKind.USER: "AIDA", EntityKind.GROUP: "AGPA", EntityKind.ROLE: "AROA"}
LONG_TERM_PREFIX: Final = "AKIA"
TEMPORARY_PREFIX: Final = "ASIA"
_POLICY_PREFIX: Final = "ANPA"


def check_entity_name(name: str) -> str:
    if not _ENTITY_NAME.fullmatch(name):
        raise InvalidName("a name is 1 to 64 of the characters a-z A-Z 0-9 _ + = , . @ -")
    return name


def check_policy_name(name: str) -> str:
    if not _POLICY_NAME.fullmatch(name):
        raise InvalidName("the name of a policy is 1 to 128 of the characters a-z A-Z 0-9 _ + = , . @ -")
    return name


def check_session_name(name: str) -> str:
    if not _SESSION_NAME.fullmatch(name):
        raise InvalidName("the name of a session is 2 to 64 of the characters a-z A-Z 0-9 _ + = , . @ -")
    return name


def check_path(path: str) -> str:
    if len(path) > _PATH_CHARACTERS_MAX or not _PATH.fullmatch(path):
        raise InvalidName("a path is / or begins and ends with one, such as /engineering/")
    return path


def check_tag(name: str, value: str) -> None:
    if not 1 <= len(name) <= 128 or len(value) > 256:
        raise InvalidName("a tag's key has 1 to 128 characters, its value at most 256")


def is_access_key_id(text: str) -> bool:
    return _ACCESS_KEY_ID.fullmatch(text) is not None


def entity_arn(account: str, kind: EntityKind, path: str, name: str) -> str:
    if kind is EntityKind.ROOT:
        return account_arn(account)
    return f"arn:{PARTITION}:iam::{account}:{kind.value}{path}{name}"


def account_arn(account: str) -> str:
    """Names the account as such: in a policy, everybody whom the account itself lets in."""
    return f"arn:{PARTITION}:iam::{account}:root"


def policy_arn(account: str, path: str, name: str) -> str:
    return f"arn:{PARTITION}:iam::{account}:policy{path}{name}"


def session_arn(account: str, role_name: str, session_name: str) -> str:
    """Without the role's path, as in AWS."""
    return f"arn:{PARTITION}:sts::{account}:assumed-role/{role_name}/{session_name}"


def make_entity_id(kind: EntityKind, random: RandomBytes) -> str:
    """Never given out twice: what was granted to a deleted entity is not inherited by a later one of its name."""
    return _IDENTIFIER_PREFIX[kind] + _make_suffix(random)


def make_policy_id(random: RandomBytes) -> str:
    return _POLICY_PREFIX + _make_suffix(random)


def make_access_key_id(prefix: str, random: RandomBytes) -> str:
    return prefix + _make_suffix(random)


def make_secret(random: RandomBytes) -> str:
    """240 random bits as 40 characters, like AWS's."""
    return base64.b64encode(random(_SECRET_RANDOM_BYTES)).decode()


def _make_suffix(random: RandomBytes) -> str:
    return base64.b32encode(random(_IDENTIFIER_RANDOM_BYTES)).decode()

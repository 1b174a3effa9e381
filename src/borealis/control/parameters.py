"""What the model leaves open about parameters: rules that span members, and what their values stand for. Pure."""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, Final

from borealis.clusters.cluster import Cluster, EncryptionType
from borealis.clusters.names import is_identifier
from borealis.clusters.store import ListPosition
from borealis.control.errors import invalid_field
from borealis.foundation.identifiers import U64_MAX, Timestamp

_RESERVED_TAG_PREFIX: Final = "aws:"
_LIST_TOKEN_CHARACTERS_MAX: Final = 200


def check_tag_keys(name: str, keys: Iterable[str]) -> None:
    for key in keys:
        if key.lower().startswith(_RESERVED_TAG_PREFIX):
            raise invalid_field(f"{name}.{key}", f"Tag keys that begin with {_RESERVED_TAG_PREFIX} are reserved.")


def check_single_region(fields: dict[str, Any]) -> None:
    """An empty structure asks for nothing."""
    if fields.get("multiRegionProperties"):
        raise invalid_field("multiRegionProperties", "Multi-Region clusters are not supported here.")


def read_metric_groups(fields: dict[str, Any]) -> tuple[str, ...] | None:
    """None if the request does not say."""
    if "metricGroups" not in fields:
        return None
    groups = tuple(item["metricGroup"] for item in fields["metricGroups"])
    if len(groups) != len({*groups}):
        raise invalid_field("metricGroups", "Each metric group may be named once.")
    return groups


def read_kms_key(text: str, region: str, account: str) -> str | None:
    """The ARN of a key of the customer's, who may name it by ARN, alias or identifier; None for the service's own."""
    if text == EncryptionType.AWS_OWNED:
        return None
    if not text.startswith("arn:"):
        name = text if text.startswith("alias/") else f"key/{text}"
        return f"arn:aws:kms:{region}:{account}:{name}"
    parts = text.split(":")
    if len(parts) != 6 or parts[2] != "kms" or not parts[5].startswith(("key/", "alias/")):
        raise invalid_field("kmsEncryptionKey", "Not a KMS key: use its ARN, its identifier or alias/<name>.")
    return text


def encode_list_token(last: Cluster) -> str:
    position = json.dumps([last.creation_time, last.identifier]).encode()
    return base64.urlsafe_b64encode(position).decode()


def decode_list_token(token: str) -> ListPosition:
    """Raises ApiError for what no list ever gave out."""
    try:
        if len(token) > _LIST_TOKEN_CHARACTERS_MAX:
            raise ValueError("too long")
        time, identifier = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        if type(time) is not int or not 0 <= time < U64_MAX // 2 or not is_identifier(identifier):
            raise ValueError("not a position")
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise invalid_field("nextToken", "Not a token of an earlier page.") from None
    return ListPosition(Timestamp(time), identifier)

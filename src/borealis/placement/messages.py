"""The lines of the host's control socket (docs/formats.md, "Host socket"): bytes to values and back, nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from borealis.foundation.errors import Malformed
from borealis.placement.table import FRONT_ID_MAX, FrontAddress, FrontId

LINE_BYTES_MAX = 1024 * 1024
REQUEST_BYTES_MAX = 4096

Fields = dict[str, Any]


class ClusterState(StrEnum):
    """What a cluster's processes are doing."""

    ASLEEP = "asleep"
    STARTING = "starting"
    AWAKE = "awake"
    STOPPING = "stopping"
    DELETING = "deleting"


# What a request may ask for, and whether it names a cluster (None: it may).
OPERATIONS: Mapping[str, bool | None] = {
    "watch": False,
    "list": False,
    "create": None,
    "start": True,
    "stop": True,
    "delete": True,
}


@dataclass(frozen=True)
class Request:
    number: int
    operation: str
    cluster: str | None


def encode_line(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def decode_line(line: bytes) -> Fields:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise Malformed("a line is not JSON") from error
    if not isinstance(fields, dict):
        raise Malformed("a line is not a JSON object")
    return fields


def decode_request(line: bytes) -> Request:
    fields = decode_line(line)
    number, operation, cluster = fields.get("id"), fields.get("do"), fields.get("cluster")
    if not isinstance(number, int) or isinstance(number, bool):
        raise Malformed("a request has no id")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise Malformed("a request asks for nothing that is known")
    if cluster is not None and not is_cluster_name(cluster):
        raise Malformed("a request names no cluster")
    names_cluster = OPERATIONS[operation]
    if names_cluster is not None and names_cluster != (cluster is not None):
        raise Malformed(f"{operation} {'needs' if names_cluster else 'takes no'} cluster")
    return Request(number, operation, cluster)


def is_cluster_name(name: object) -> bool:
    """26 of a-z and 0-9: also what makes it safe as the name of a folder."""
    return isinstance(name, str) and len(name) == 26 and name.isascii() and name.isalnum() and name.lower() == name


def encode_fronts(fronts: Sequence[FrontAddress]) -> list[Fields]:
    return [{"id": front.front_id, "path": str(front.path)} for front in fronts]


def decode_fronts(cluster: str, fronts: object) -> tuple[FrontAddress, ...]:
    if not isinstance(fronts, list):
        raise Malformed("fronts are not a list")
    return tuple(_decode_front(cluster, front) for front in fronts)


def _decode_front(cluster: str, front: object) -> FrontAddress:
    match front:
        case {"id": int(number), "path": str(path)} if 1 <= number <= FRONT_ID_MAX:
            return FrontAddress(FrontId(number), cluster, Path(path))
    raise Malformed("a front is not an id with a path")

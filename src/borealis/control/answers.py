"""Answers of the API as HTTP: status, headers, JSON. Pure."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from borealis.control.errors import ApiError


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def make_request_id() -> str:
    return str(uuid.uuid4())


def encode_result(result: Mapping[str, Any], request_id: str) -> HttpAnswer:
    return HttpAnswer(200, (("x-amzn-requestid", request_id),), _encode(result))


def encode_error(error: ApiError, request_id: str | None = None) -> HttpAnswer:
    """The code goes into a header, as AWS's REST-JSON services have it."""
    headers = [("x-amzn-requestid", request_id or make_request_id()), ("x-amzn-errortype", error.code)]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(error.retry_after_s)))
    return HttpAnswer(error.status, tuple(headers), _encode({"message": error.message, **error.members}))


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

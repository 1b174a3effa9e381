"""Which operation a method and a path mean. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from borealis.control.errors import ValidationReason, cannot_parse, validation
from borealis.control.model import OPERATIONS
from borealis.control.shapes import Operation

# An ARN holds slashes, and not every client escapes them: it takes the rest of the path.
_TAIL_LABELS: Final = frozenset({"{resourceArn}"})


@dataclass(frozen=True)
class Route:
    operation: Operation
    # Members that stand in the path, decoded.
    labels: dict[str, str]


def find_route(method: str, path: str) -> Route:
    """`path` is raw: as it was sent, without the query. Raises ApiError."""
    segments = path.removeprefix("/").split("/") if path.startswith("/") else []
    for operation in OPERATIONS:
        if operation.method == method:
            labels = _match(_TEMPLATES[operation.name], segments)
            if labels is not None:
                return Route(operation, labels)
    raise validation(ValidationReason.UNKNOWN_OPERATION, "There is no operation with this method and path.")


def _match(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if template[-1] in _TAIL_LABELS and len(segments) > len(template):
        segments = [*segments[: len(template) - 1], "/".join(segments[len(template) - 1 :])]
    if len(segments) != len(template):
        return None
    labels = {}
    for wanted, found in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            if not found:
                return None
            labels[wanted[1:-1]] = found
        elif wanted != found:
            return None
    return {name: _decode(text) for name, text in labels.items()}


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise cannot_parse("The path is not UTF-8.") from None


_TEMPLATES: Final = {operation.name: operation.path.removeprefix("/").split("/") for operation in OPERATIONS}

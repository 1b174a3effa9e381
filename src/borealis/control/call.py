"""One call of an operation: what is asked for, by whom, from where. Values only."""

from dataclasses import dataclass
from typing import Any

from borealis.control.shapes import Operation
from borealis.foundation.identifiers import Timestamp
from borealis.iam.caller import VerifiedCaller


@dataclass(frozen=True, slots=True)
class Call:
    """`fields` are the members of the input, valid by the model."""

    operation: Operation
    fields: dict[str, Any]
    caller: VerifiedCaller
    now: Timestamp
    source_ip: str | None
    is_secure: bool

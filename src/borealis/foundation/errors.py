"""The four kinds of error, never mixed, and the one table that turns reasons of refusal into SQLSTATEs.

Rejected: certainly not committed. Unknown: may have committed. Unavailable: certainly not started. InvariantViolation:
our bug, the process dies loudly. Malformed is what a codec raises about bytes that break the format; the edge that
received them turns it into a rejection of the sender alone.
"""

# ruff: noqa: N818 - the kinds carry the names that the design gives them

from enum import IntEnum
from typing import Final


class BorealisError(Exception):
    """Any error that Borealis raises on purpose."""


class Reason(IntEnum):
    """Why a request was refused; the numbers go over the wire (docs/formats.md, "Commit socket")."""

    DATA_CONFLICT = 1
    SCHEMA_CONFLICT = 2
    FORGOTTEN = 3
    MALFORMED = 4
    DISK_FULL = 5
    STORAGE_BEHIND = 6
    TOO_LARGE = 7
    TOO_OLD = 8
    SEQUENCE_EXHAUSTED = 9


SQLSTATE: Final[dict[Reason, str]] = {
    Reason.DATA_CONFLICT: "40001",
    Reason.SCHEMA_CONFLICT: "40001",
    Reason.FORGOTTEN: "40001",
    Reason.MALFORMED: "XX000",
    Reason.DISK_FULL: "53100",
    Reason.STORAGE_BEHIND: "53300",
    Reason.TOO_LARGE: "54000",
    Reason.TOO_OLD: "54000",
    Reason.SEQUENCE_EXHAUSTED: "2200H",
}


class Rejected(BorealisError):
    """Certainly not committed; `reason` says why."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.name.lower().replace("_", " "))
        self.reason = reason
        self.text = text


class Malformed(Rejected):
    """Bytes that break a format; `text` names the rule that was broken."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.MALFORMED, text)


class Unknown(BorealisError):
    """May have committed; never retried silently, never reported as rejected."""


class Unavailable(BorealisError):
    """Certainly not started; safe to retry."""


class InvariantViolation(BorealisError):
    """Something that cannot be true is: the process must die before it does harm."""

"""The errors of the API: code, HTTP status, and the members that each one carries.

An ApiError is an answer, raised where the decision is made and written down at the edge (`answers`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from borealis.foundation.errors import BorealisError

SERVICE_CODE: Final = "dsql"


class ValidationReason(StrEnum):
    UNKNOWN_OPERATION = "unknownOperation"
    CANNOT_PARSE = "cannotParse"
    FIELD_VALIDATION_FAILED = "fieldValidationFailed"
    DELETION_PROTECTION_ENABLED = "deletionProtectionEnabled"
    OTHER = "other"


@dataclass(frozen=True)
class FieldProblem:
    """`name` is the member as the API calls it, with the way to it: `tags.Name`, `metricGroups[0].metricGroup`."""

    name: str
    message: str


class ApiError(BorealisError):
    """`members` go into the body beside `message`."""

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        members: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.members = dict(members or {})
        self.retry_after_s = retry_after_s


def validation(reason: ValidationReason, message: str, fields: Sequence[FieldProblem] = ()) -> ApiError:
    members: dict[str, Any] = {"reason": reason.value}
    if fields:
        members["fieldList"] = [{"name": field.name, "message": field.message} for field in fields]
    return ApiError("ValidationException", 400, message, members)


def cannot_parse(message: str) -> ApiError:
    return validation(ValidationReason.CANNOT_PARSE, message)


def invalid_fields(problems: Sequence[FieldProblem]) -> ApiError:
    """In the words in which AWS's services say it."""
    count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
    message = f"{count}: {'; '.join(problem.message for problem in problems)}"
    return validation(ValidationReason.FIELD_VALIDATION_FAILED, message, problems)


def invalid_field(name: str, message: str) -> ApiError:
    return validation(ValidationReason.FIELD_VALIDATION_FAILED, message, [FieldProblem(name, message)])


def not_found(resource: str, kind: str, message: str) -> ApiError:
    return ApiError("ResourceNotFoundException", 404, message, {"resourceId": resource, "resourceType": kind})


def conflict(message: str, resource: str | None = None, kind: str | None = None) -> ApiError:
    members = {} if resource is None else {"resourceId": resource, "resourceType": kind}
    return ApiError("ConflictException", 409, message, members)


def access_denied(message: str) -> ApiError:
    return ApiError("AccessDeniedException", 403, message)


def quota_exceeded(message: str, resource: str, kind: str, quota: str) -> ApiError:
    members = {"resourceId": resource, "resourceType": kind, "serviceCode": SERVICE_CODE, "quotaCode": quota}
    return ApiError("ServiceQuotaExceededException", 402, message, members)


def throttled(message: str, quota: str, retry_after_s: int) -> ApiError:
    members = {"serviceCode": SERVICE_CODE, "quotaCode": quota}
    return ApiError("ThrottlingException", 429, message, members, retry_after_s)


def internal(message: str, retry_after_s: int | None = None) -> ApiError:
    return ApiError("InternalServerException", 500, message, None, retry_after_s)

"""Why a caller was turned away, in the words that AWS uses, and the one table of what the API answers.

Owns the texts. A `Refused` says what was wrong with a token, a signature or a permission; its text may be shown to
whoever sent the request (a login puts it into HINT, the API into `message`), because it repeats nothing secret: names,
times and ARNs, never a signature, a session token or a key. Texts follow Aurora DSQL where they were seen there, else
AWS's services.
"""

# ruff: noqa: N818 - the kinds carry the names that the design gives them

from enum import Enum
from typing import Final, NamedTuple

from borealis.foundation.errors import BorealisError

SKEW_S: Final = 300
"""How far a caller's clock may be from ours."""


class Cause(Enum):
    """What was wrong; the value is the word for logs."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    WRONG_SCOPE = "wrong-scope"
    WRONG_HOST = "wrong-host"
    UNKNOWN_CREDENTIAL = "unknown-credential"
    EXPIRED_CREDENTIAL = "expired-credential"
    EXPIRED_SIGNATURE = "expired-signature"
    WRONG_SIGNATURE = "wrong-signature"
    WRONG_ACTION = "wrong-action"
    NOT_AUTHORIZED = "not-authorized"


class ApiError(NamedTuple):
    code: str
    status: int


API_ERRORS: Final[dict[Cause, ApiError]] = {
    Cause.MISSING: ApiError("MissingAuthenticationTokenException", 403),
    Cause.INCOMPLETE: ApiError("IncompleteSignatureException", 403),
    Cause.WRONG_SCOPE: ApiError("InvalidSignatureException", 403),
    Cause.WRONG_HOST: ApiError("InvalidSignatureException", 403),
    Cause.UNKNOWN_CREDENTIAL: ApiError("UnrecognizedClientException", 403),
    Cause.EXPIRED_CREDENTIAL: ApiError("ExpiredTokenException", 403),
    Cause.EXPIRED_SIGNATURE: ApiError("InvalidSignatureException", 403),
    Cause.WRONG_SIGNATURE: ApiError("InvalidSignatureException", 403),
    Cause.WRONG_ACTION: ApiError("AccessDeniedException", 403),
    Cause.NOT_AUTHORIZED: ApiError("AccessDeniedException", 403),
}


class Refused(BorealisError):
    """The caller is not let in. `text` is for the caller, `cause` for logs, `api_error` for the API's answer."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text

    @property
    def api_error(self) -> ApiError:
        return API_ERRORS[self.cause]


class AuthenticationRefused(Refused):
    """Who called is not known."""


class AuthorizationRefused(Refused):
    """Who called is known, and may not do this."""


def missing_signature() -> AuthenticationRefused:
    return AuthenticationRefused(Cause.MISSING, "Missing Authentication Token")


def malformed_token(rule: str) -> AuthenticationRefused:
    return AuthenticationRefused(Cause.INCOMPLETE, f"The authentication token is malformed: {rule}")


def missing_parameter(name: str) -> AuthenticationRefused:
    return AuthenticationRefused(
        Cause.INCOMPLETE,
        f"AWS query-string parameters must include '{name}'. Re-examine the query-string parameters.",
    )


def incomplete(text: str) -> AuthenticationRefused:
    return AuthenticationRefused(Cause.INCOMPLETE, text)


def unsupported_algorithm(algorithm: str) -> AuthenticationRefused:
    return incomplete(f"Unsupported AWS 'algorithm': '{_printable(algorithm)}'. Use 'AWS4-HMAC-SHA256'.")


def malformed_credential() -> AuthenticationRefused:
    return incomplete(
        "Credential must have exactly 5 slash-delimited elements, "
        "e.g. keyid/date/region/service/term, and the term must be 'aws4_request'."
    )


def malformed_date() -> AuthenticationRefused:
    return incomplete("Date must be in ISO-8601 'basic format', e.g. '20260131T235959Z'.")


def date_differs(scope_date: str, date: str) -> AuthenticationRefused:
    return AuthenticationRefused(
        Cause.WRONG_SCOPE,
        f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        f"'{_printable(scope_date)}' != '{date[:8]}', from '{date}'.",
    )


def wrong_region(region: str) -> AuthenticationRefused:
    return AuthenticationRefused(
        Cause.WRONG_SCOPE, f"Credential should be scoped to a valid region, not '{_printable(region)}'."
    )


def wrong_service(service: str) -> AuthenticationRefused:
    return AuthenticationRefused(Cause.WRONG_SCOPE, f"Credential should be scoped to correct service: '{service}'.")


def wrong_host(signed: str, connected: str) -> AuthenticationRefused:
    return AuthenticationRefused(
        Cause.WRONG_HOST, f"Token was made for host '{_printable(signed)}', not for '{connected}'."
    )


def unknown_credential() -> AuthenticationRefused:
    return AuthenticationRefused(Cause.UNKNOWN_CREDENTIAL, "The security token included in the request is invalid.")


def expired_credential() -> AuthenticationRefused:
    return AuthenticationRefused(Cause.EXPIRED_CREDENTIAL, "The security token included in the request is expired")


def wrong_signature() -> AuthenticationRefused:
    return AuthenticationRefused(
        Cause.WRONG_SIGNATURE,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
    )


def expired_signature(date: str, oldest: str, now: str, lifetime_s: int) -> AuthenticationRefused:
    """`date` as the caller wrote it, the oldest that would still do, and now, in the same spelling."""
    return AuthenticationRefused(
        Cause.EXPIRED_SIGNATURE,
        f"Signature expired: {date} is now earlier than {oldest} ({now} - {_duration(lifetime_s)})",
    )


def early_signature(date: str, newest: str, now: str) -> AuthenticationRefused:
    return AuthenticationRefused(
        Cause.EXPIRED_SIGNATURE,
        f"Signature not yet current: {date} is still later than {newest} ({now} + {_duration(SKEW_S)})",
    )


def wrong_action(user: str, action: str) -> AuthorizationRefused:
    return AuthorizationRefused(
        Cause.WRONG_ACTION, f"Wrong user to action mapping. user: {_printable(user)}, action: {action}"
    )


def not_authorized(arn: str, action: str, resource: str, because: str) -> AuthorizationRefused:
    text = f"User: {arn} is not authorized to perform: {action} on resource: {resource} {because}"
    return AuthorizationRefused(Cause.NOT_AUTHORIZED, text.rstrip())


def _duration(seconds: int) -> str:
    return f"{seconds // 60} min." if seconds % 60 == 0 else f"{seconds} s."


def _printable(text: str, characters_max: int = 128) -> str:
    """What a stranger wrote, fit for a log line and for an answer."""
    shown = text[:characters_max].encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in shown)

"""Signed requests to the API: the Authorization header of Signature Version 4, verified.

Owns which parts of a request have to be signed: the host, every `x-amz-` header and the body. Whoever reads the
request afterwards may rely on method, path, query, body and the signed headers, and on nothing else.

Pure but for the credentials' source.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

from borealis.foundation.identifiers import Timestamp
from borealis.iam import refusals, sigv4
from borealis.iam.caller import VerifiedCaller
from borealis.iam.credentials import CredentialSource
from borealis.iam.tokens import SERVICE

_AUTHORIZATION_PARTS: Final = ("Credential", "SignedHeaders", "Signature")
_SIGNED_HEADERS: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(;[a-z0-9!#$%&'*+.^_`|~-]+)*", re.ASCII)
_SIGNED_ALWAYS_PREFIX: Final = "x-amz-"
_AUTHORIZATION_CHARACTERS_MAX: Final = 8_192


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came over the wire: path and query undecoded, header values as Latin-1, the body whole."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)

    def values_of(self, name: str) -> list[str]:
        """Of a header; `name` in lower case."""
        return [value for header, value in self.headers if header.lower() == name]


def verify_request(
    source: CredentialSource, request: SignedRequest, region: str, now: Timestamp, service: str = SERVICE
) -> VerifiedCaller:
    """Who sent the request. Raises AuthenticationRefused."""
    credential_text, signed_headers, presented = _parse_authorization(request.values_of("authorization"))
    access_key_id, scope = sigv4.parse_credential(credential_text)
    date = _find_date(request)
    sigv4.check_time(date, now, refusals.SKEW_S)
    sigv4.check_scope(scope, date, region, service)
    headers = _signed_headers(request, signed_headers)
    body_sha256 = hashlib.sha256(request.body).hexdigest()
    _check_body(request, body_sha256)
    credential = source.find_credential(access_key_id, _single(request, "x-amz-security-token"), now)
    canonical = sigv4.canonical_request(
        request.method,
        sigv4.canonical_path(request.path),
        sigv4.canonical_query(sigv4.parse_query(request.query)),
        headers,
        signed_headers,
        body_sha256,
    )
    expected = credential.signing.sign(scope, sigv4.string_to_sign(date, scope, canonical))
    if not hmac.compare_digest(expected.encode(), presented.encode()):
        raise refusals.wrong_signature()
    return credential.verified()


def _parse_authorization(values: list[str]) -> tuple[str, str, str]:
    """Credential, SignedHeaders and Signature."""
    if not values:
        raise refusals.missing_signature()
    if len(values) > 1 or len(values[0]) > _AUTHORIZATION_CHARACTERS_MAX:
        raise refusals.incomplete("There must be one Authorization header, of a sensible length.")
    algorithm, _, rest = values[0].strip().partition(" ")
    if algorithm != sigv4.ALGORITHM:
        raise refusals.unsupported_algorithm(algorithm)
    parts: dict[str, str] = {}
    for item in rest.split(","):
        name, equals, value = item.strip().partition("=")
        if not equals or name in parts:
            raise refusals.incomplete("Authorization header must be a list of different name=value pairs.")
        parts[name] = value
    missing = [name for name in _AUTHORIZATION_PARTS if not parts.get(name)]
    if missing:
        raise refusals.incomplete(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    credential, signed_headers, signature = (parts[name] for name in _AUTHORIZATION_PARTS)
    return credential, signed_headers, signature


def _find_date(request: SignedRequest) -> str:
    """X-Amz-Date, or Date in its place; in the basic format of ISO 8601."""
    date = _single(request, "x-amz-date")
    if date is not None:
        return date
    date = _single(request, "date")
    if date is None:
        raise refusals.incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    try:
        return sigv4.format_date(int(parsedate_to_datetime(date).timestamp()))
    except (ValueError, OverflowError):
        return date.strip()


def _signed_headers(request: SignedRequest, names_text: str) -> list[tuple[str, str]]:
    """Canonical headers, in the order of the list. Raises AuthenticationRefused when something is not signed."""
    names = names_text.split(";")
    if not _SIGNED_HEADERS.fullmatch(names_text) or names != sorted(frozenset(names)):
        raise refusals.incomplete("SignedHeaders must be header names in lower case, sorted, each once.")
    present: dict[str, list[str]] = {}
    for name, value in request.headers:
        present.setdefault(name.lower(), []).append(value)
    if "host" not in names:
        raise refusals.incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    for name in present:
        if name.startswith(_SIGNED_ALWAYS_PREFIX) and name not in names:
            raise refusals.incomplete(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    if "x-amz-date" not in present and "date" not in names:
        raise refusals.incomplete("'Date' must be a 'SignedHeader' in the AWS Authorization.")
    if any(name not in present for name in names):
        raise refusals.wrong_signature()
    return [(name, sigv4.canonical_header_value(present[name])) for name in names]


def _check_body(request: SignedRequest, body_sha256: str) -> None:
    """X-Amz-Content-Sha256 says what the body hashes to, if it is there. A body is never left unsigned."""
    declared = _single(request, "x-amz-content-sha256")
    if declared is not None and not hmac.compare_digest(declared.encode("latin-1"), body_sha256.encode()):
        raise refusals.wrong_signature()


def _single(request: SignedRequest, name: str) -> str | None:
    values = request.values_of(name)
    if len(values) > 1:
        raise refusals.incomplete(f"There must be one '{name}' header at most.")
    return values[0].strip() if values else None

"""AWS Signature Version 4: the canonical form of a request, the key for a day and a region, the signature.

Pure: texts in, texts out. Follows "Create a signed AWS API request" of the IAM User Guide. What a caller sent is taken
apart by `parse_query`, the same for the signature and for whoever reads the parameters, so that nothing can be signed
as one thing and read as another.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam import refusals

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_UNRESERVED: Final = "-_.~"
_DATE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_DATE_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Scope:
    """`<date>/<region>/<service>/aws4_request`: what a signing key is good for."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


class SigningSecret:
    """The secret of one access key, with the keys derived from it kept. Prints as nothing."""

    __slots__ = ("_derived", "_secret")

    # A key signs for few regions on few days; the bound is there for callers who try them all.
    _DERIVED_MAX: Final = 64

    def __init__(self, secret: str) -> None:
        self._secret = f"AWS4{secret}".encode()
        self._derived: dict[Scope, bytes] = {}

    def sign(self, scope: Scope, string_to_sign: str) -> str:
        """64 lower-case hexadecimal digits."""
        key = self._derived.get(scope)
        if key is None:
            if len(self._derived) >= self._DERIVED_MAX:
                self._derived.clear()
            key = self._derived[scope] = derive_key(self._secret, scope)
        return hmac.digest(key, string_to_sign.encode(), "sha256").hex()

    def __repr__(self) -> str:
        return "SigningSecret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


def derive_key(prefixed_secret: bytes, scope: Scope) -> bytes:
    key = prefixed_secret
    for part in (scope.date, scope.region, scope.service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def parse_credential(text: str) -> tuple[str, Scope]:
    """`<access key>/<date>/<region>/<service>/aws4_request`. Raises AuthenticationRefused."""
    parts = text.split("/")
    if len(parts) != 5 or not all(parts) or parts[4] != TERMINATOR or not text.isascii():
        raise refusals.malformed_credential()
    return parts[0], Scope(parts[1], parts[2], parts[3])


def check_scope(scope: Scope, date: str, region: str, service: str) -> None:
    """Raises AuthenticationRefused for a credential of another day, region or service."""
    if scope.date != date[:8]:
        raise refusals.date_differs(scope.date, date)
    if scope.region != region:
        raise refusals.wrong_region(scope.region)
    if scope.service != service:
        raise refusals.wrong_service(service)


def parse_date(text: str) -> int:
    """`YYYYMMDDTHHMMSSZ` to seconds since the Unix epoch. Raises AuthenticationRefused."""
    if not _DATE.fullmatch(text):
        raise refusals.malformed_date()
    day = int(text[:4]), int(text[4:6]), int(text[6:8])
    try:
        moment = datetime(*day, int(text[9:11]), int(text[11:13]), int(text[13:15]), tzinfo=UTC)
    except ValueError:
        raise refusals.malformed_date() from None
    return int(moment.timestamp())


def format_date(seconds: int) -> str:
    return time.strftime(_DATE_FORMAT, time.gmtime(seconds))


def check_time(date: str, now: Timestamp, lifetime_s: int) -> int:
    """Signing time in seconds since the epoch, if a signature of `date` is good at `now`. Raises AuthenticationRefused.

    It may lie `SKEW_S` in the future, because clocks differ, and `lifetime_s` in the past."""
    signed_s = parse_date(date)
    now_s = now // NANOSECONDS_PER_SECOND
    if signed_s > now_s + refusals.SKEW_S:
        raise refusals.early_signature(date, format_date(now_s + refusals.SKEW_S), format_date(now_s))
    if signed_s + lifetime_s < now_s:
        raise refusals.expired_signature(date, format_date(now_s - lifetime_s), format_date(now_s), lifetime_s)
    return signed_s


def parse_query(query: str) -> list[tuple[str, str]]:
    """Parameters of a raw query string, in their order. Raises AuthenticationRefused for what is not percent-encoding.

    Only percent-escapes are undone: a plus sign is a plus sign, as it is for the signature."""
    return [
        (decode(name), decode(value)) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    ]


def decode(text: str) -> str:
    """Undoes percent-escapes. Raises AuthenticationRefused for broken ones and for what is not UTF-8."""
    if "%" not in text and text.isascii():
        return text
    if _BROKEN_ESCAPE.search(text):
        raise refusals.incomplete("The query string is not percent-encoded.")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise refusals.incomplete("The query string is not UTF-8.") from None


def encode(text: str) -> str:
    """UriEncode of the specification: everything but unreserved characters, in upper-case hexadecimal."""
    return quote(text, safe=_UNRESERVED)


def canonical_query(parameters: Iterable[tuple[str, str]]) -> str:
    pairs = sorted((encode(name), encode(value)) for name, value in parameters)
    return "&".join(f"{name}={value}" for name, value in pairs)


def canonical_path(path: str) -> str:
    """The path as it was sent, without its dot segments and doubled slashes, and encoded once more."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    tail = "/" if kept and not segments[-1] else ""
    return quote("/" + "/".join(kept) + tail, safe="/" + _UNRESERVED)


def canonical_header_value(values: Sequence[str]) -> str:
    # Bytes, because white space is that of ASCII: a byte of a letter in UTF-8 may be a space of Latin-1.
    return ",".join(b" ".join(value.encode("latin-1").split()).decode("latin-1") for value in values)


def canonical_request(
    method: str, path: str, query: str, headers: Sequence[tuple[str, str]], signed_headers: str, payload_sha256: str
) -> bytes:
    """`headers`: names in lower case and canonical values, in order. Header bytes stand for themselves (Latin-1)."""
    lines = "".join(f"{name}:{value}\n" for name, value in headers)
    head = f"{method}\n{path}\n{query}\n".encode()
    return head + lines.encode("latin-1") + f"\n{signed_headers}\n{payload_sha256}".encode()


def string_to_sign(date: str, scope: Scope, request: bytes) -> str:
    return f"{ALGORITHM}\n{date}\n{scope}\n{hashlib.sha256(request).hexdigest()}"

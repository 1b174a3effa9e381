"""Tokens of database logins: presigned requests, verified.

Owns their form: `<host>/?Action=DbConnect…&X-Amz-Signature=…`, the URL of a presigned GET without its scheme, as the
AWS SDKs and connectors make it. A token has one spelling but for the order of its parameters: anything that is missing,
doubled, unknown or encoded otherwise is refused before a key is looked up. It may be used as often as its time lasts.

Pure but for the credentials' source.
"""

import hmac
import re
from typing import Final

from borealis.foundation.identifiers import Timestamp
from borealis.iam import refusals, sigv4
from borealis.iam.caller import ConnectAction, VerifiedCaller
from borealis.iam.credentials import CredentialSource

SERVICE: Final = "dsql"
TOKEN_CHARACTERS_MAX: Final = 16_384
LIFETIME_S_MAX: Final = 7 * 24 * 3600
ADMIN: Final = "admin"
"""The database user that takes a token for DbConnectAdmin, and the only one that does."""

_SIGNED_HEADERS: Final = "host"
_SIGNATURE: Final = "X-Amz-Signature"
_SECURITY_TOKEN: Final = "X-Amz-Security-Token"
_REQUIRED: Final = (
    "Action",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    _SIGNATURE,
)
_KNOWN: Final = frozenset((*_REQUIRED, _SECURITY_TOKEN))
# Unreserved characters as they are, all others as upper-case escapes: what the SDKs write, and the form that is signed.
# Possessive: what has been taken is never given back, so that no text is gone through twice.
_ENCODED: Final = r"(?:[A-Za-z0-9._~-]++|%(?!2D|2E|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])[0-9A-F]{2})++"
_PAIR: Final = rf"[A-Za-z-]+={_ENCODED}"
_TOKEN: Final = re.compile(rf"([A-Za-z0-9._:\[\]-]{{1,300}})/\?({_PAIR}(?:&{_PAIR})*+)", re.ASCII)
_LIFETIME: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_HEX_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def verify_token(source: CredentialSource, token: str, host: str, region: str, now: Timestamp) -> VerifiedCaller:
    """Who presents the token, and in `connect_action` what for. `host`: the endpoint that the client connected to.

    Says nothing about what the caller may do (`check_user`, `authorize`). Raises AuthenticationRefused."""
    signed_host, parameters, query = parse_token(token)
    if parameters["X-Amz-Algorithm"] != sigv4.ALGORITHM:
        raise refusals.unsupported_algorithm(parameters["X-Amz-Algorithm"])
    action = _parse_action(parameters["Action"])
    lifetime_s = _parse_lifetime(parameters["X-Amz-Expires"])
    if parameters["X-Amz-SignedHeaders"] != _SIGNED_HEADERS:
        raise refusals.malformed_token("X-Amz-SignedHeaders must be 'host'")
    access_key_id, scope = sigv4.parse_credential(parameters["X-Amz-Credential"])
    date = parameters["X-Amz-Date"]
    sigv4.check_time(date, now, lifetime_s)
    sigv4.check_scope(scope, date, region, SERVICE)
    if signed_host.lower() != host.lower():
        raise refusals.wrong_host(signed_host, host)
    credential = source.find_credential(access_key_id, parameters.get(_SECURITY_TOKEN), now)
    presented = parameters[_SIGNATURE]
    # Some signers write the host as they were given it, others in lower case.
    for name in dict.fromkeys((signed_host, signed_host.lower())):
        request = sigv4.canonical_request("GET", "/", query, [("host", name)], _SIGNED_HEADERS, sigv4.EMPTY_SHA256)
        expected = credential.signing.sign(scope, sigv4.string_to_sign(date, scope, request))
        if hmac.compare_digest(expected, presented):
            return credential.verified(action)
    raise refusals.wrong_signature()


def check_user(user: str, action: ConnectAction) -> None:
    """`admin` takes an Admin token and no other user does. Raises AuthorizationRefused."""
    if (user == ADMIN) != (action is ConnectAction.CONNECT_ADMIN):
        raise refusals.wrong_action(user, action.value)


def parse_token(token: str) -> tuple[str, dict[str, str], str]:
    """Host, parameters (of the right names, each there once), and the query that was signed, in canonical form.

    Raises AuthenticationRefused."""
    if not token:
        raise refusals.missing_signature()
    found = _TOKEN.fullmatch(token) if len(token) <= TOKEN_CHARACTERS_MAX else None
    if found is None:
        raise refusals.malformed_token("it must be <host>/?Action=… as the AWS SDKs and the AWS CLI make it")
    host, query = found.groups()
    pairs = query.split("&")
    parameters: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name in parameters:
            raise refusals.malformed_token("a parameter is there twice")
        if name not in _KNOWN:
            raise refusals.malformed_token("it has a parameter that tokens do not have")
        parameters[name] = sigv4.decode(value)
    for name in _REQUIRED:
        if name not in parameters:
            raise refusals.missing_parameter(name)
    if not _HEX_SIGNATURE.fullmatch(parameters[_SIGNATURE]):
        raise refusals.wrong_signature()
    # No name begins another one: the order of the pairs is that of the names.
    pairs.remove(f"{_SIGNATURE}={parameters[_SIGNATURE]}")
    return host, parameters, "&".join(sorted(pairs))


def _parse_action(text: str) -> ConnectAction:
    try:
        return ConnectAction(text)
    except ValueError:
        raise refusals.malformed_token("Action must be DbConnect or DbConnectAdmin") from None


def _parse_lifetime(text: str) -> int:
    """Zero is a number too: such a token has expired a second later."""
    if not _LIFETIME.fullmatch(text):
        raise refusals.incomplete("X-Amz-Expires must be a number of seconds.")
    seconds = int(text)
    if seconds > LIFETIME_S_MAX:
        raise refusals.incomplete(f"X-Amz-Expires must be less than a week (in seconds); that is {LIFETIME_S_MAX}.")
    return seconds

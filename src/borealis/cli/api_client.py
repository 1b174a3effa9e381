"""The API as the command line uses it: requests signed with the built-in administrator's key, answers as values.

Whoever may read the data directory is its operator, and acts as the administrator. The key is read from the store for
each command and kept nowhere.
"""

import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from borealis.foundation.clock import Clock, SystemClock
from borealis.foundation.errors import BorealisError, Unavailable
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.iam import sigv4
from borealis.iam.records import NewAccessKey

_ANSWER_S: Final = 60.0
_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
_SERVICE: Final = "dsql"


class ApiRefused(BorealisError):  # noqa: N818 - it says what happened
    """The API's answer is an error."""

    def __init__(self, code: str, message: str, members: Mapping[str, Any]) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.members = members


@dataclass(frozen=True)
class ApiAddress:
    """`trust` is a PEM file with the authorities that its certificate may come from, None for those of the system; or,
    pinned, with that certificate itself, whatever its names are."""

    url: str
    region: str
    trust: Path | None
    is_pinned: bool = False


class ApiClient:
    def __init__(self, address: ApiAddress, key: NewAccessKey, clock: Clock | None = None) -> None:
        self._address = address
        self._key = key
        self._clock = clock or SystemClock()

    def call(
        self,
        method: str,
        segments: Sequence[str],
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        """`segments` of the path and `query` are given as they are meant, unescaped. Raises ApiRefused, or Unavailable
        when there is no answer."""
        path = "/" + "/".join(quote(segment, safe="") for segment in segments)
        canonical_query = sigv4.canonical_query(query)
        content = b"" if body is None else json.dumps(body).encode()
        headers = self._sign(method, urlsplit(self._address.url).netloc, path, canonical_query, content)
        return self._exchange(method, f"{path}?{canonical_query}" if query else path, headers, content)

    def _sign(self, method: str, host: str, path: str, query: str, body: bytes) -> dict[str, str]:
        date = sigv4.format_date(self._clock.now() // NANOSECONDS_PER_SECOND)
        scope = sigv4.Scope(date[:8], self._address.region, _SERVICE)
        signed = [("host", host), ("x-amz-date", date)]
        names = ";".join(name for name, _ in signed)
        request = sigv4.canonical_request(
            method, sigv4.canonical_path(path), query, signed, names, hashlib.sha256(body).hexdigest()
        )
        secret = sigv4.SigningSecret(self._key.secret.reveal())
        signature = secret.sign(scope, sigv4.string_to_sign(date, scope, request))
        credential = f"Credential={self._key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**dict(signed), "authorization": f"{sigv4.ALGORITHM} {credential}", "content-type": "application/json"}

    def _exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        connection = self._connect()
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            answer = json.loads(response.read(_ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"the API at {self._address.url} does not answer: {error}") from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise Unavailable(f"what answers at {self._address.url} is not the API")
        if response.status != http.client.OK:
            code = response.headers.get("x-amzn-errortype", str(response.status))
            raise ApiRefused(code, str(answer.get("message", "")), answer)
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._address.url)
        if parts.hostname is None:
            raise Unavailable(f"{self._address.url} is not the URL of an API")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_ANSWER_S)
        context = ssl.create_default_context(cafile=self._address.trust)
        if self._address.is_pinned:
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_ANSWER_S, context=context)

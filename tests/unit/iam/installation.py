"""A store with known randomness, and tokens and requests as the real client library signs them."""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.credentials import Credentials
from botocore.session import Session

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam import IamReader, IamStore
from borealis.iam.records import NewAccessKey, TemporaryCredentials
from borealis.iam.signed_requests import SignedRequest

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "210987654321"
REGION = "us-east-1"
IDENTIFIER = "4iabtwnq2j55iez4j4bkykghgm"
HOST = f"{IDENTIFIER}.dsql.{REGION}.localhost"
CLUSTER = f"arn:aws:dsql:{REGION}:{ACCOUNT}:cluster/{IDENTIFIER}"

NOW_S = 1_790_000_000
NOW = Timestamp(NOW_S * NANOSECONDS_PER_SECOND)

_CLIENTS = Session()


def at(offset_s: float) -> Timestamp:
    """A moment, so many seconds after NOW."""
    return Timestamp(NOW + round(offset_s * NANOSECONDS_PER_SECOND))


class CountedBytes:
    """Stands for the operating system's randomness: never the same twice, the same in every run."""

    def __init__(self, seed: str = "") -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"{self._seed}:{self._count}".encode()).digest(size)


@contextmanager
def installation(folder: Path) -> Iterator[tuple[IamStore, IamReader]]:
    """A store as the first start leaves it, and a reader of it."""
    with IamStore.open(folder, CountedBytes()) as store:
        store.install(ACCOUNT, NOW)
        with IamReader.open(folder) as reader:
            yield store, reader


Key = NewAccessKey | TemporaryCredentials


def _parts(key: Key) -> tuple[str, str, str | None]:
    if isinstance(key, TemporaryCredentials):
        return key.access_key_id, key.secret.reveal(), key.session_token.reveal()
    return key.id, key.secret.reveal(), None


def _clock(now_s: int) -> datetime:
    return datetime.fromtimestamp(now_s, UTC)


@lru_cache(maxsize=64)
def _make_client(identifier: str, secret: str, session_token: str | None, region: str) -> BaseClient:
    return _CLIENTS.create_client(
        "dsql",
        region_name=region,
        aws_access_key_id=identifier,
        aws_secret_access_key=secret,
        aws_session_token=session_token,
    )


def make_token(
    key: Key,
    *,
    host: str = HOST,
    region: str = REGION,
    is_admin: bool = True,
    lifetime_s: int = 900,
    now_s: int = NOW_S,
) -> str:
    """As `aws dsql generate-db-connect[-admin]-auth-token` does."""
    client = _make_client(*_parts(key), region)
    generate = client.generate_db_connect_admin_auth_token if is_admin else client.generate_db_connect_auth_token
    with patch("botocore.auth.get_current_datetime", lambda: _clock(now_s)):
        token: str = generate(host, ExpiresIn=lifetime_s)
    return token


def presign_url(key: Key, url: str, headers: dict[str, str] | None = None) -> str:
    """A rightly signed URL of any kind, without its scheme: what a caller with a key can make."""
    request = AWSRequest("GET", url, headers or {})
    with patch("botocore.auth.get_current_datetime", lambda: _clock(NOW_S)):
        SigV4QueryAuth(Credentials(*_parts(key)), "dsql", REGION, expires=900).add_auth(request)
    return request.url.partition("://")[2]


def sign_chosen_headers(key: NewAccessKey, names: str, headers: dict[str, str]) -> SignedRequest:
    """A GET of /cluster with a right signature over the headers that `names` lists, in that order."""
    date, day = headers["x-amz-date"], headers["x-amz-date"][:8]
    lines = "".join(f"{name}:{headers[name]}\n" for name in names.split(";"))
    canonical = f"GET\n/cluster\n\n{lines}\n{names}\n{hashlib.sha256(b'').hexdigest()}"
    scope = f"{day}/{REGION}/dsql/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = f"AWS4{key.secret.reveal()}".encode()
    for part in (*scope.split("/"), text):
        signing = hmac.digest(signing, part.encode(), "sha256")
    value = f"AWS4-HMAC-SHA256 Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signing.hex()}"
    return SignedRequest("GET", "/cluster", "", (*headers.items(), ("Authorization", value)), b"")


def sign_request(
    key: Key,
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    region: str = REGION,
    service: str = "dsql",
    now_s: int = NOW_S,
) -> SignedRequest:
    """As every AWS SDK for Python does; `url` as it goes over the wire."""
    request = AWSRequest(method, url, headers or {}, body)
    with patch("botocore.auth.get_current_datetime", lambda: _clock(now_s)):
        SigV4Auth(Credentials(*_parts(key)), service, region).add_auth(request)
    host, _, target = url.partition("://")[2].partition("/")
    path, _, query = target.partition("?")
    # What the HTTP library adds when it sends.
    sent = [("Host", host), ("Accept-Encoding", "identity"), *request.headers.items()]
    return SignedRequest(method, "/" + path, query, tuple(sent), body)

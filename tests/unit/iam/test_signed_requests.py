"""Signed API requests: what botocore signs is taken, however oddly it is written; what was not signed is refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.iam import IamReader, verify_request
from borealis.iam.records import NewAccessKey
from borealis.iam.refusals import AuthenticationRefused, Cause
from borealis.iam.signed_requests import SignedRequest
from borealis.iam.sigv4 import canonical_path, parse_query
from tests.examples import examples
from tests.unit.iam.installation import (
    ACCOUNT,
    NOW,
    NOW_S,
    REGION,
    Key,
    at,
    installation,
    sign_chosen_headers,
    sign_request,
)
from tests.unit.iam.test_tokens import assume

API = "http://127.0.0.1:8006"


class Desk:
    def __init__(self, reader: IamReader, keys: list[Key]) -> None:
        self.reader = reader
        self.keys = keys

    def verify(self, request: SignedRequest, offset_s: float = 0) -> str:
        return verify_request(self.reader, request, REGION, at(offset_s)).account

    def cause(self, request: SignedRequest, offset_s: float = 0) -> Cause:
        with pytest.raises(AuthenticationRefused) as refused:
            self.verify(request, offset_s)
        return refused.value.cause


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with installation(tmp_path_factory.mktemp("iam")) as (store, reader):
        yield Desk(reader, [store.administrator_key(), assume(store, reader)])


def with_header(request: SignedRequest, name: str, change: Callable[[str], str | None]) -> SignedRequest:
    changed = ((header, change(value) if header.lower() == name else value) for header, value in request.headers)
    return replace(request, headers=tuple((header, value) for header, value in changed if value is not None))


@pytest.mark.parametrize("key", [0, 1])
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/cluster", b""),
        ("GET", "/cluster?max-results=10&next-token=a%2Bb%2Fc%3D%3D", b""),
        ("POST", "/cluster", b'{"deletionProtectionEnabled": false, "tags": {"Name": "\xc3\xa4"}}'),
        (
            "DELETE",
            "/tags/arn%3Aaws%3Adsql%3Aus-east-1%3A123456789012%3Acluster%2Fabc?tagKeys=b&tagKeys=a&tagKeys=",
            b"",
        ),
        ("GET", "/a//b/./c/../d/", b""),
        ("GET", "/", b""),
        ("GET", "/%20~%C3%A4", b""),
        ("GET", "/cluster?b=2&a=1&a=&B=3&a", b""),
    ],
)
def test_what_the_sdk_signs_is_taken(desk: Desk, key: int, method: str, target: str, body: bytes) -> None:
    assert desk.verify(sign_request(desk.keys[key], method, API + target, body=body)) == ACCOUNT


encoded = st.text(
    alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5
) | st.sampled_from(["%20", "%2F", "%2B", "%C3%A4", "-", "~", "_", "."])
header_values = st.text(alphabet="ab \t,;=\xe0\xe4", max_size=12)


@given(
    path=st.lists(encoded | st.just(""), max_size=4),
    query=st.lists(st.tuples(encoded, encoded | st.just("")), max_size=4),
    headers=st.dictionaries(st.sampled_from(["X-Amz-Meta", "Content-Type", "X-Custom"]), header_values, max_size=3),
    body=st.binary(max_size=40),
    key=st.integers(0, 1),
)
def test_any_request_that_the_sdk_signs_is_taken(
    desk: Desk,
    path: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    key: int,
) -> None:
    target = "/" + "/".join(path) + ("?" + "&".join(f"{name}={value}" for name, value in query) if query else "")
    # The SDK signs text; it goes over the wire as UTF-8, and a server reads the bytes as Latin-1.
    request = sign_request(desk.keys[key], "POST", API + target, body=body, headers=headers)
    sent = tuple((name, value.encode().decode("latin-1")) for name, value in request.headers)
    assert desk.verify(replace(request, headers=sent)) == ACCOUNT


def test_headers_may_come_in_any_order_and_case(desk: Desk) -> None:
    request = sign_request(desk.keys[1], "POST", f"{API}/cluster", body=b"{}", headers={"X-Amz-Meta": "  a   b "})
    shuffled = tuple((name.upper(), f"  {value}\t") for name, value in reversed(tuple(request.headers)))
    assert desk.verify(replace(request, headers=shuffled)) == ACCOUNT


def test_what_is_signed_cannot_be_changed(desk: Desk) -> None:
    request = sign_request(desk.keys[1], "POST", f"{API}/cluster?a=b", body=b"{}", headers={"Content-Type": "x"})
    for changed in (
        replace(request, method="PUT"),
        replace(request, path="/Cluster"),
        replace(request, query="a=c"),
        replace(request, query=""),
        replace(request, body=b"{ }"),
        replace(request, body=b""),
        with_header(request, "host", lambda _: "elsewhere"),
        with_header(request, "content-type", lambda _: "y"),
        with_header(request, "content-type", lambda _: None),
    ):
        assert desk.cause(changed) is Cause.WRONG_SIGNATURE
    assert desk.cause(with_header(request, "x-amz-security-token", lambda text: text[:-2])) is Cause.UNKNOWN_CREDENTIAL
    assert desk.cause(with_header(request, "x-amz-date", lambda _: "20260921T141319Z")) is Cause.WRONG_SIGNATURE


def test_what_has_to_be_signed_cannot_be_added(desk: Desk) -> None:
    request = sign_request(desk.keys[0], "GET", f"{API}/cluster")
    more = replace(request, headers=(*request.headers, ("X-Amz-Security-Token", "x")))
    assert desk.cause(more) is Cause.INCOMPLETE
    twice = replace(request, headers=(*request.headers, ("X-Amz-Date", "20260921T141320Z")))
    assert desk.cause(twice) is Cause.INCOMPLETE
    again = replace(request, headers=(*request.headers, ("Host", "127.0.0.1:8006")))
    assert desk.cause(again) is Cause.WRONG_SIGNATURE


def test_headers_are_listed_in_order_with_the_host_among_them(desk: Desk) -> None:
    key = desk.keys[0]
    assert isinstance(key, NewAccessKey)
    headers = {"host": "127.0.0.1:8006", "x-amz-date": "20260921T141320Z"}
    assert desk.verify(sign_chosen_headers(key, "host;x-amz-date", headers)) == ACCOUNT
    for names in ("x-amz-date", "x-amz-date;host", "host;host;x-amz-date", "host"):
        assert desk.cause(sign_chosen_headers(key, names, headers)) is Cause.INCOMPLETE


def test_the_declared_hash_must_be_that_of_the_body(desk: Desk) -> None:
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    headers = {"X-Amz-Content-SHA256": digest}
    assert desk.verify(sign_request(desk.keys[0], "POST", f"{API}/cluster", body=b"{}", headers=headers)) == ACCOUNT
    for declared in ("UNSIGNED-PAYLOAD", digest[:-1] + "b", ""):
        headers = {"X-Amz-Content-SHA256": declared}
        request = sign_request(desk.keys[0], "POST", f"{API}/cluster", body=b"{}", headers=headers)
        assert desk.cause(request) is Cause.WRONG_SIGNATURE


def test_the_clocks_may_differ_by_five_minutes(desk: Desk) -> None:
    request = sign_request(desk.keys[0], "GET", f"{API}/cluster")
    for offset_s in (-300, 300):
        assert desk.verify(request, offset_s) == ACCOUNT
    for offset_s in (-301, 301):
        assert desk.cause(request, offset_s) is Cause.EXPIRED_SIGNATURE
    with pytest.raises(AuthenticationRefused, match=r"Signature expired: .*Z - 5 min\.\)"):
        desk.verify(request, 301)


def test_a_date_header_serves_too(desk: Desk) -> None:
    request = sign_request(desk.keys[0], "GET", f"{API}/cluster", headers={"Date": "now"})
    assert request.values_of("x-amz-date") == []
    assert desk.verify(request) == ACCOUNT
    assert desk.cause(with_header(request, "date", lambda _: "yesterday")) is Cause.INCOMPLETE
    assert desk.cause(with_header(request, "date", lambda _: None)) is Cause.INCOMPLETE


def test_another_region_or_service_is_refused(desk: Desk) -> None:
    for scope in ({"region": "eu-west-1"}, {"service": "rds"}):
        assert desk.cause(sign_request(desk.keys[0], "GET", f"{API}/cluster", **scope)) is Cause.WRONG_SCOPE


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (None, Cause.MISSING),
        ("Basic YTpi", Cause.INCOMPLETE),
        ("AWS4-HMAC-SHA256", Cause.INCOMPLETE),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0", Cause.INCOMPLETE),
        ("AWS4-HMAC-SHA256 Credential=K/20260921/us-east-1/dsql/aws4_request, SignedHeaders=host", Cause.INCOMPLETE),
        (
            "AWS4-HMAC-SHA256 Credential=K/20260921/us-east-1/dsql/aws4_request, SignedHeaders=, Signature=0",
            Cause.INCOMPLETE,
        ),
        ("AWS4-ECDSA-P256-SHA256 Credential=K, SignedHeaders=host, Signature=0", Cause.INCOMPLETE),
    ],
)
def test_a_malformed_authorization_is_told(desk: Desk, value: str | None, cause: Cause) -> None:
    request = sign_request(desk.keys[0], "GET", f"{API}/cluster")
    assert desk.cause(with_header(request, "authorization", lambda _: value)) is cause


@given(data=st.data())
@settings(max_examples=examples(300))
def test_a_changed_character_of_the_authorization_is_refused(desk: Desk, data: st.DataObject) -> None:
    request = sign_request(desk.keys[0], "GET", f"{API}/cluster", now_s=NOW_S)
    value = request.values_of("authorization")[0]
    position = data.draw(st.integers(0, len(value) - 1))
    replacement = data.draw(st.characters(max_codepoint=255))
    changed = value[:position] + replacement + value[position + 1 :]
    # White space between the parts does not matter.
    if changed.split() != value.split() and "".join(changed.split()) != "".join(value.split()):
        desk.cause(with_header(request, "authorization", lambda _: changed))


@given(
    method=st.text(max_size=5),
    path=st.text(max_size=20),
    query=st.text(max_size=20),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["Authorization", "Host", "X-Amz-Date", "Date"]),
            st.text(alphabet=st.characters(max_codepoint=255))
            | st.sampled_from(
                [
                    "AWS4-HMAC-SHA256 Credential=K/20260921/us-east-1/"
                    "dsql/aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
                    "20260921T141320Z",
                ]
            ),
        )
    ),
)
def test_any_request_is_refused_and_nothing_else_happens(
    desk: Desk, method: str, path: str, query: str, headers: list[tuple[str, str]]
) -> None:
    desk.cause(SignedRequest(method, path, query, headers, b""))


def test_paths_and_queries_have_one_canonical_form() -> None:
    assert canonical_path("/a//b/./c/../d/") == "/a/b/d/"
    assert canonical_path("/tags/arn%3Aaws") == "/tags/arn%253Aaws"
    assert canonical_path("/../..") == "/"
    assert canonical_path("") == "/"
    assert parse_query("a=b%20c&d&=e&&f=g=h") == [("a", "b c"), ("d", ""), ("", "e"), ("f", "g=h")]
    assert NOW == NOW_S * 10**9

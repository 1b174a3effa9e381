"""The handshake over memory: what is negotiated, what is refused, and what the client is told."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.tls import ServerContext, ServerHandshake, TlsError
from tests.certificates import Authority, Certificate
from tests.examples import examples
from tests.unit.tls.memory_client import HOST, MemoryClient, shake_hands

TLS13, TLS12 = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("version", [TLS13, TLS12])
def test_what_was_negotiated_is_known(version: ssl.TLSVersion, context: ServerContext, authority: Authority) -> None:
    client = MemoryClient(authority.certificate, version=version, alpn=["http/1.1", "postgresql"])
    handshake = ServerHandshake(context, is_direct=True)
    sent = client.step()
    while not handshake.is_done:
        sent = client.step(handshake.feed(sent))
    assert handshake.server_name == HOST
    assert handshake.has_alpn
    assert client.tls.selected_alpn_protocol() == "postgresql"
    assert handshake.finish().version == client.tls.version()
    with pytest.raises(TlsError, match="closed"):
        handshake.feed(b"x")


def test_without_alpn_only_after_a_request_for_tls(context: ServerContext, authority: Authority) -> None:
    client = MemoryClient(authority.certificate)
    shake_hands(context, client)
    assert client.tls.selected_alpn_protocol() is None


@pytest.mark.parametrize("version", [TLS13, TLS12])
@pytest.mark.parametrize("alpn", [None, ["http/1.1", "h2"]])
def test_direct_tls_without_our_protocol_is_refused(
    version: ssl.TLSVersion, alpn: list[str] | None, context: ServerContext, authority: Authority
) -> None:
    client = MemoryClient(authority.certificate, version=version, alpn=alpn)
    handshake = ServerHandshake(context, is_direct=True)
    with pytest.raises(TlsError) as refused:
        handshake.feed(client.step())
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        client.step(refused.value.alert)


def test_data_right_behind_the_handshake_is_not_lost(context: ServerContext, authority: Authority) -> None:
    for piece in (1, 7, 100_000):
        client = MemoryClient(authority.certificate)
        handshake = ServerHandshake(context, is_direct=False)
        finished = client.step(handshake.feed(client.step()))
        # Everything at once, the client's Finished included: OpenSSL must not read beyond it.
        stream = finished + client.write(b"startup packet") + client.write(b"more")
        at = 0
        while not handshake.is_done:
            handshake.feed(stream[at : at + piece])
            at += piece
        session = handshake.finish()
        assert session.decrypt(b"") + session.decrypt(stream[at:]) == b"startup packetmore"


def test_there_is_nothing_to_resume(context: ServerContext, authority: Authority) -> None:
    for version in (TLS13, TLS12):
        client = MemoryClient(authority.certificate, version=version)
        session = shake_hands(context, client)
        assert client.read(session.encrypt(b"data")) == b"data"
        negotiated = client.tls.session
        assert negotiated is None or not negotiated.has_ticket


def test_a_new_certificate_is_for_new_handshakes(certificate: Certificate, authority: Authority) -> None:
    context = ServerContext(certificate.chain, certificate.key)
    other = authority.issue("other.localhost")
    before = MemoryClient(authority.certificate)
    handshake = ServerHandshake(context, is_direct=False)
    context.replace_certificate(other.chain, other.key)
    before.step(handshake.feed(before.step()))
    assert before.tls.getpeercert() is not None

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, MemoryClient(authority.certificate))
    shake_hands(context, MemoryClient(authority.certificate, server_name="other.localhost"))


def test_a_certificate_that_cannot_be_used_leaves_the_old_one(
    certificate: Certificate, rsa_certificate: Certificate, authority: Authority, tmp_path: Path
) -> None:
    context = ServerContext(certificate.chain, certificate.key)
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for chain, key in [
        (tmp_path / "missing.pem", certificate.key),
        (garbage, certificate.key),
        (certificate.chain, garbage),
        (certificate.chain, rsa_certificate.key),
    ]:
        with pytest.raises(TlsError):
            context.replace_certificate(chain, key)
    shake_hands(context, MemoryClient(authority.certificate))


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x16\x03\x01\xff\xff" + bytes(100),
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x17\x03\x03\x00\x20" + bytes(32),
        b"\x80\x2e\x01\x03\x01" + bytes(46),
    ],
)
def test_what_is_not_tls_ends_the_handshake(greeting: bytes, context: ServerContext) -> None:
    handshake = ServerHandshake(context, is_direct=False)
    with pytest.raises(TlsError):
        handshake.feed(greeting)
    with pytest.raises(TlsError):
        handshake.feed(b"")
    with pytest.raises(TlsError):
        handshake.finish()


def test_a_client_cannot_send_forever(context: ServerContext) -> None:
    handshake = ServerHandshake(context, is_direct=False)
    # A ClientHello that announces the longest message, and never ends.
    hello = b"\x01\x01\xff\xff" + bytes(2**14 - 4)
    record = b"\x16\x03\x01\x40\x00"
    for piece in (hello, bytes(2**14), bytes(2**14)):
        handshake.feed(record + piece)
    with pytest.raises(TlsError, match="too much"):
        handshake.feed(record + bytes(2**14))


def test_old_versions_are_refused(context: ServerContext, authority: Authority) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client = MemoryClient(authority.certificate, version=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0")
    with pytest.raises(TlsError) as refused:
        ServerHandshake(context, is_direct=False).feed(client.step())
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        client.step(refused.value.alert)


@settings(max_examples=examples(500), deadline=None)
@given(data=st.data())
def test_a_changed_hello_is_refused_or_answered(
    data: st.DataObject, context: ServerContext, authority: Authority
) -> None:
    hello = bytearray(MemoryClient(authority.certificate, alpn=["postgresql"]).step())
    for _ in range(data.draw(st.integers(1, 4))):
        hello[data.draw(st.integers(0, len(hello) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(hello)))
    handshake = ServerHandshake(context, is_direct=data.draw(st.booleans()))
    try:
        answer = handshake.feed(bytes(hello[:cut])) + handshake.feed(bytes(hello[cut:]))
    except TlsError as error:
        answer = error.alert
    assert not handshake.is_done
    assert len(answer) < 10_000


@settings(max_examples=examples(200), deadline=None)
@given(garbage=st.binary(max_size=300), is_record=st.booleans())
def test_garbage_ends_in_an_error_or_waits(garbage: bytes, is_record: bool, context: ServerContext) -> None:
    if is_record:
        garbage = b"\x16\x03\x01" + len(garbage).to_bytes(2, "big") + garbage
    handshake = ServerHandshake(context, is_direct=False)
    try:
        answer = handshake.feed(garbage)
    except TlsError as error:
        answer = error.alert
    assert len(answer) < 100
    assert not handshake.is_done


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data(), version=st.sampled_from([TLS13, TLS12]))
def test_a_changed_last_flight_is_refused_or_never_done(
    data: st.DataObject, version: ssl.TLSVersion, context: ServerContext, authority: Authority
) -> None:
    client = MemoryClient(authority.certificate, version=version)
    handshake = ServerHandshake(context, is_direct=False)
    flight = bytearray(client.step(handshake.feed(client.step())))
    flight[data.draw(st.integers(0, len(flight) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(TlsError):
        handshake.feed(bytes(flight))
    assert not handshake.is_done

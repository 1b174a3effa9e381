"""The record layer against OpenSSL's, and against everything that a client could do to it."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.tls import ServerContext, TlsError, TlsSession
from tests.certificates import Authority
from tests.examples import examples
from tests.unit.tls.memory_client import MemoryClient, move, shake_hands

TLS13, TLS12 = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
SUITES_12 = ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")


@pytest.fixture(params=[TLS13, TLS12], ids=["TLSv1.3", "TLSv1.2"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return ssl.TLSVersion(request.param)


@pytest.fixture
def pair(version: ssl.TLSVersion, context: ServerContext, authority: Authority) -> tuple[MemoryClient, TlsSession]:
    client = MemoryClient(authority.certificate, version=version)
    return client, shake_hands(context, client)


@pytest.mark.parametrize("suite", SUITES_12)
@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_every_suite_of_tls_1_2(
    suite: str, kind: str, context: ServerContext, rsa_context: ServerContext, authority: Authority
) -> None:
    client = MemoryClient(authority.certificate, version=TLS12, ciphers=f"ECDHE-{kind}-{suite}")
    session = shake_hands(context if kind == "ECDSA" else rsa_context, client)
    assert client.tls.cipher() == (f"ECDHE-{kind}-{suite}", "TLSv1.2", 128 if "128" in suite else 256)
    for _ in range(3):
        assert client.read(session.encrypt(b"from the server")) == b"from the server"
        assert session.decrypt(client.write(b"from the client")) == b"from the client"
        session = move(session)


@settings(max_examples=examples(40), deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["send", "receive", "move"]), st.integers(0, 40_000), st.integers(1, 5000)),
        max_size=12,
    )
)
@pytest.mark.parametrize("version_name", ["TLSv1_3", "TLSv1_2"])
def test_any_conversation_arrives_whole(
    version_name: str, steps: list[tuple[str, int, int]], context: ServerContext, authority: Authority
) -> None:
    client = MemoryClient(authority.certificate, version=ssl.TLSVersion[version_name])
    session = shake_hands(context, client)
    for step, size, piece in steps:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        if step == "receive":
            assert client.read(session.encrypt(data)) == data
            continue
        sent = client.write(data) if data else b""
        received = []
        for at in range(0, len(sent), piece):
            received.append(session.decrypt(sent[at : at + piece]))
            if step == "move" and at // piece % 4 == 1:
                session = move(session)
        assert b"".join(received) == data


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("version_name", ["TLSv1_3", "TLSv1_2"])
def test_every_change_of_a_record_is_refused(
    version_name: str, data: st.DataObject, context: ServerContext, authority: Authority
) -> None:
    client, session = _pair_for(version_name, context, authority)
    record = bytearray(client.write(data.draw(st.binary(min_size=1, max_size=60))))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    # A length that has become longer is a record whose rest never comes: let there be a rest.
    with pytest.raises(TlsError) as refused:
        session.decrypt(bytes(record) + bytes(2**17 - len(record)))
    assert client.tls.version() is not None
    with pytest.raises(ssl.SSLError, match="alert"):
        client.read(refused.value.alert)
    for call in (lambda: session.decrypt(b"x"), lambda: session.encrypt(b"x")):
        with pytest.raises(TlsError):
            call()
    assert session.close_notify() == b""


def _pair_for(version_name: str, context: ServerContext, authority: Authority) -> tuple[MemoryClient, TlsSession]:
    client = MemoryClient(authority.certificate, version=ssl.TLSVersion[version_name])
    return client, shake_hands(context, client)


def test_a_record_that_comes_twice_or_out_of_order_is_refused(
    context: ServerContext, authority: Authority, version: ssl.TLSVersion
) -> None:
    for order in ([0, 0], [1, 0], [1], [0, 2]):
        client, session = _pair_for(version.name, context, authority)
        records = [client.write(b"%d" % number) for number in range(3)]
        with pytest.raises(TlsError, match="not encrypted with the session's keys"):
            session.decrypt(b"".join(records[number] for number in order))


def test_the_smallest_and_the_largest_record(pair: tuple[MemoryClient, TlsSession]) -> None:
    client, session = pair
    for size in (1, 2**14 - 1, 2**14, 2**14 + 1, 2**17 + 5):
        assert session.decrypt(client.write(b"x" * size)) == b"x" * size
        assert client.read(session.encrypt(b"y" * size)) == b"y" * size
    assert session.encrypt(b"") == b""
    assert session.decrypt(b"") == b""


def test_a_length_over_the_limit_is_refused_with_its_header(
    pair: tuple[MemoryClient, TlsSession], version: ssl.TLSVersion
) -> None:
    client, session = pair
    limit = 2**14 + (256 if version == TLS13 else 24)
    with pytest.raises(TlsError, match="too long") as refused:
        session.decrypt(b"\x17\x03\x03" + (limit + 1).to_bytes(2, "big"))
    with pytest.raises(ssl.SSLError, match=r"(?i)record.overflow"):
        client.read(refused.value.alert)


def test_an_announced_length_takes_no_memory(pair: tuple[MemoryClient, TlsSession]) -> None:
    _, session = pair
    before = session.export_bytes
    assert session.decrypt(b"\x17\x03\x03\x40\x00" + b"x" * 100) == b""
    assert session.export_bytes == before + 105


def test_both_sides_close(pair: tuple[MemoryClient, TlsSession]) -> None:
    client, session = pair
    assert session.decrypt(client.write(b"last words") + client.close()) == b"last words"
    assert session.peer_closed
    # What comes behind close_notify is not looked at.
    assert session.decrypt(b"anything") == b""
    assert client.read(session.encrypt(b"answer") + session.close_notify()) == b"answer"
    assert session.close_notify() == b""
    with pytest.raises(TlsError):
        session.encrypt(b"more")


def test_an_exported_session_is_frozen_until_it_is_taken_back(pair: tuple[MemoryClient, TlsSession]) -> None:
    client, session = pair
    state = bytearray(session.export_bytes)
    session.export_into(state)
    for call in (lambda: session.encrypt(b"x"), lambda: session.decrypt(b""), lambda: session.export_into(state)):
        with pytest.raises(TlsError):
            call()
    assert session.close_notify() == b""
    session.reclaim()
    with pytest.raises(TlsError):
        session.reclaim()
    assert client.read(session.encrypt(b"refused")) == b"refused"


def test_adopting_overwrites_the_state(pair: tuple[MemoryClient, TlsSession]) -> None:
    _, session = pair
    state = bytearray(session.export_bytes)
    session.export_into(state)
    assert any(state)
    adopted = TlsSession.adopt(memoryview(state))
    assert not any(state)
    adopted.close()
    with pytest.raises(TlsError):
        adopted.encrypt(b"x")
    with pytest.raises(TypeError):
        TlsSession.adopt(memoryview(bytes(168)))


@settings(max_examples=examples(300), deadline=None)
@given(
    version_name=st.sampled_from(["TLSv1_3", "TLSv1_2"]),
    at=st.integers(0, 31) | st.integers(150, 175),
    value=st.integers(0, 255),
    cut=st.integers(-180, 40),
)
def test_a_state_that_breaks_a_rule_is_refused_or_harmless(
    version_name: str, at: int, value: int, cut: int, context: ServerContext, authority: Authority
) -> None:
    client, session = _pair_for(version_name, context, authority)
    session.decrypt(client.write(b"0123456789")[:7])
    state = bytearray(session.export_bytes)
    session.export_into(state)
    state[min(at, len(state) - 1)] = value
    state = state[:cut] if cut < 0 else state + bytes(cut)
    try:
        adopted = TlsSession.adopt(state)
        adopted.decrypt(bytes(40_000))
    except TlsError:
        return
    assert adopted.peer_closed


@settings(max_examples=examples(300), deadline=None)
@given(state=st.binary(max_size=400))
def test_garbage_is_no_state(state: bytes) -> None:
    with pytest.raises(TlsError):
        TlsSession.adopt(bytearray(state))

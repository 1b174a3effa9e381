"""The record layer against one in plain Python that follows the RFCs when it is told to, and breaks them when not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.tls import TlsError, TlsSession
from borealis.tls.library import library
from tests.examples import examples
from tests.unit.tls.memory_client import move
from tests.unit.tls.record_peer import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    KEY_BYTES,
    KEY_UPDATE,
    KEY_UPDATE_REQUESTED,
    RecordPeer,
    make_pair,
)

SUITES = sorted(KEY_BYTES)
SUITES_13 = [suite for suite in SUITES if suite < 0x2000]
SUITES_12 = [suite for suite in SUITES if suite > 0x2000]
FRUITLESS_RECORDS_MAX = 32
REKEY_AFTER = 2**23


def alert_of(peer: RecordPeer, error: TlsError) -> int:
    ((content_type, content),) = peer.open(error.alert)
    assert content_type == ALERT
    assert content[0] == 2
    return content[1]


def refuse(peer: RecordPeer, session: TlsSession, stream: bytes) -> int:
    """The alert with which the session answers."""
    with pytest.raises(TlsError) as refused:
        session.decrypt(stream)
    return alert_of(peer, refused.value)


@pytest.mark.parametrize("suite", SUITES)
@settings(max_examples=examples(30), deadline=None)
@given(
    messages=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300), st.integers(0, 40)), max_size=8),
    read_sequence=st.integers(0, 2**63),
    write_sequence=st.integers(0, REKEY_AFTER - 10),
    explicit_nonce=st.integers(0, 2**64 - 1),
)
def test_every_suite_speaks_with_a_peer_in_python(
    suite: int,
    messages: list[tuple[bool, bytes, int]],
    read_sequence: int,
    write_sequence: int,
    explicit_nonce: int,
) -> None:
    numbers = {"read_sequence": read_sequence, "write_sequence": write_sequence}
    if suite in SUITES_13:
        numbers["read_sequence"] %= REKEY_AFTER - 10
    if suite in SUITES_12 and suite < 0xCC00:
        numbers["explicit_nonce"] = explicit_nonce
    peer, session = make_pair(suite, **numbers)
    for is_from_peer, data, padding in messages:
        if is_from_peer:
            assert session.decrypt(peer.seal(APPLICATION_DATA, data, padding=padding)) == data
        else:
            assert peer.open(session.encrypt(data)) == [(APPLICATION_DATA, data)]
        if padding > 30:
            session = move(session)
    assert len(set(peer.explicit_nonces)) == len(peer.explicit_nonces)
    assert session.suite == suite


@pytest.mark.parametrize("suite", SUITES_13)
@settings(max_examples=examples(40), deadline=None)
@given(steps=st.lists(st.sampled_from(["data", "update", "request", "answer", "move"]), max_size=25))
def test_keys_change_on_either_side_at_any_time(suite: int, steps: list[str]) -> None:
    peer, session = make_pair(suite)
    is_due = False
    for number, step in enumerate(steps):
        data = b"%d" % number
        if step == "data":
            assert session.decrypt(peer.seal(APPLICATION_DATA, data)) == data
        elif step == "update":
            assert session.decrypt(peer.update_key()) == b""
        elif step == "request":
            assert session.decrypt(peer.update_key(wants_answer=True)) == b""
            is_due = True
        elif step == "answer":
            answer = [(HANDSHAKE, KEY_UPDATE)] if is_due else []
            assert peer.open(session.encrypt(data)) == [*answer, (APPLICATION_DATA, data)]
            is_due = False
        else:
            session = move(session)


@pytest.mark.parametrize("suite", SUITES_13)
def test_our_keys_serve_for_so_many_records(suite: int) -> None:
    peer, session = make_pair(suite)
    session.rekey_after(3)
    kinds = [kind for number in range(10) for kind, _ in peer.open(session.encrypt(b"%d" % number))]
    assert kinds == [APPLICATION_DATA] * 3 + ([HANDSHAKE] + [APPLICATION_DATA] * 3) * 2 + [HANDSHAKE, APPLICATION_DATA]
    # A large plaintext, all in one call, is no exception.
    large = bytes(16384 * 7)
    records = peer.open(session.encrypt(large))
    assert b"".join(content for kind, content in records if kind == APPLICATION_DATA) == large
    assert [kind for kind, _ in records].count(HANDSHAKE) == 2


def test_the_peer_is_asked_once_for_new_keys() -> None:
    peer, session = make_pair(SUITES_13[0])
    session.rekey_after(2)
    for _ in range(3):
        session.decrypt(peer.seal(APPLICATION_DATA, b"x"))
    assert peer.open(session.encrypt(b"y")) == [(HANDSHAKE, KEY_UPDATE_REQUESTED), (APPLICATION_DATA, b"y")]
    assert peer.open(session.encrypt(b"y")) == [(APPLICATION_DATA, b"y")]
    session.decrypt(peer.update_key())
    for _ in range(3):
        session.decrypt(peer.seal(APPLICATION_DATA, b"x"))
    assert peer.open(session.encrypt(b"y"))[0] == (HANDSHAKE, KEY_UPDATE_REQUESTED)


def test_the_default_is_far_below_the_limit_of_aes_gcm() -> None:
    for numbers in ({"write_sequence": REKEY_AFTER}, {"read_sequence": REKEY_AFTER}):
        peer, session = make_pair(SUITES_13[0], **numbers)
        assert peer.open(session.encrypt(b"x"))[0][0] == HANDSHAKE
    peer, session = make_pair(SUITES_13[0], write_sequence=REKEY_AFTER - 1)
    assert peer.open(session.encrypt(b"x")) == [(APPLICATION_DATA, b"x")]


@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1), (4, 1), (2, 3)])
def test_a_key_update_may_come_in_pieces(pieces: tuple[int, ...]) -> None:
    peer, session = make_pair(SUITES_13[0])
    at = 0
    for piece in pieces:
        session = move(session)
        assert session.decrypt(peer.seal(HANDSHAKE, KEY_UPDATE_REQUESTED[at : at + piece])) == b""
        at += piece
    peer.ours.advance()
    assert session.decrypt(peer.seal(APPLICATION_DATA, b"new key")) == b"new key"
    assert peer.open(session.encrypt(b"x")) == [(HANDSHAKE, KEY_UPDATE), (APPLICATION_DATA, b"x")]


@pytest.mark.parametrize(
    ("records", "alert"),
    [
        ([(HANDSHAKE, KEY_UPDATE[:2]), (APPLICATION_DATA, b"x")], 10),  # something between its pieces
        ([(HANDSHAKE, KEY_UPDATE + KEY_UPDATE)], 10),  # more behind it in its record
        ([(HANDSHAKE, KEY_UPDATE + b"\x18")], 10),
        ([(HANDSHAKE, b"\x18\0\0\1\2")], 47),
        ([(HANDSHAKE, b"\x18\0\0\2\0")], 50),
        ([(HANDSHAKE, b"\x01\0\0\1\0")], 10),  # a ClientHello
        ([(HANDSHAKE, b"\x04\0\0\0")], 10),
        ([(HANDSHAKE, b"")], 10),
        ([(20, b"\x01")], 10),
        ([(24, b"\x01")], 10),
        ([(0, b"")], 10),
        ([(ALERT, b"\x01")], 50),
        ([(ALERT, b"")], 50),
        ([(ALERT, b"\x01\x00\x00")], 50),
    ],
)
def test_messages_that_have_no_place_end_a_session(records: list[tuple[int, bytes]], alert: int) -> None:
    peer, session = make_pair(SUITES_13[0])
    assert refuse(peer, session, b"".join(peer.seal(*record) for record in records)) == alert


@pytest.mark.parametrize("suite", SUITES_12)
@pytest.mark.parametrize(
    ("content_type", "content", "alert"),
    [(HANDSHAKE, b"\x01\0\0\0", 40), (HANDSHAKE, KEY_UPDATE, 40), (20, b"\x01", 10), (ALERT, b"", 50)],
)
def test_tls_1_2_negotiates_nothing_anew(suite: int, content_type: int, content: bytes, alert: int) -> None:
    peer, session = make_pair(suite, read_sequence=1, write_sequence=1)
    assert refuse(peer, session, peer.seal(content_type, content)) == alert


@pytest.mark.parametrize("suite", SUITES)
def test_alerts_of_the_peer(suite: int) -> None:
    peer, session = make_pair(suite)
    assert session.decrypt(peer.seal(ALERT, b"\x01\x5a") + peer.seal(ALERT, b"\x01\x00")) == b""
    assert session.peer_closed

    peer, session = make_pair(suite)
    with pytest.raises(TlsError, match="alert 20") as ended:
        session.decrypt(peer.seal(ALERT, b"\x02\x14"))
    assert ended.value.alert == b""


@pytest.mark.parametrize("suite", [SUITES_13[0], SUITES_12[0]])
def test_records_without_data_are_counted(suite: int) -> None:
    for content_type, content in [(APPLICATION_DATA, b""), (ALERT, b"\x01\x5a")]:
        peer, session = make_pair(suite)
        for _ in range(3):
            for _ in range(FRUITLESS_RECORDS_MAX):
                assert session.decrypt(peer.seal(content_type, content)) == b""
            assert session.decrypt(peer.seal(APPLICATION_DATA, b"data")) == b"data"
        storm = b"".join(peer.seal(content_type, content) for _ in range(FRUITLESS_RECORDS_MAX + 1))
        assert refuse(peer, session, storm) == 10


def test_a_storm_of_key_updates_ends_the_session_and_is_answered_once() -> None:
    peer, session = make_pair(SUITES_13[0])
    calm = b"".join(peer.update_key(wants_answer=True) for _ in range(FRUITLESS_RECORDS_MAX))
    assert session.decrypt(calm) == b""
    assert peer.open(session.encrypt(b"x")) == [(HANDSHAKE, KEY_UPDATE), (APPLICATION_DATA, b"x")]
    storm = b"".join(peer.update_key(wants_answer=True) for _ in range(1000))
    assert refuse(peer, session, storm) == 10


def test_padding_up_to_the_limit_and_not_beyond() -> None:
    peer, session = make_pair(SUITES_13[0])
    for content, padding in [(b"x", 2**14), (b"x" * 2**14, 239), (b"x" * 1000, 5)]:
        assert session.decrypt(peer.seal(APPLICATION_DATA, content, padding=padding)) == content
    assert refuse(peer, session, peer.seal(APPLICATION_DATA, b"x" * (2**14 + 1))) == 22

    peer, session = make_pair(SUITES_13[0])
    assert refuse(peer, session, peer.seal(0, b"", padding=100)) == 10


@settings(max_examples=examples(100), deadline=None)
@given(
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 4000), min_size=1, max_size=30),
)
def test_records_arrive_in_pieces_of_any_size(sizes: list[int], cuts: list[int]) -> None:
    peer, session = make_pair(SUITES_13[0])
    data = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream = b"".join(peer.seal(APPLICATION_DATA, part) for part in data)
    received, at = [], 0
    for cut in [*cuts, len(stream)]:
        received.append(session.decrypt(stream[at : at + cut]))
        at += cut
    assert b"".join(received) == b"".join(data)


def test_sequence_numbers_do_not_wrap() -> None:
    peer, session = make_pair(SUITES_12[0], read_sequence=2**64 - 1, write_sequence=2**64 - 1)
    with pytest.raises(TlsError):
        session.encrypt(b"x")
    with pytest.raises(TlsError):
        make_pair(SUITES_12[0], read_sequence=2**64 - 1)[1].decrypt(b"\x17\x03\x03\x00\x30" + bytes(48))
    assert peer.explicit_nonces == []


def test_sessions_take_turns_with_few_contexts() -> None:
    library.tls_set_cipher_contexts_max(3)
    try:
        pairs = [make_pair(suite) for suite in SUITES * 2]
        for number in range(4):
            for peer, session in pairs:
                data = b"%d" % number
                assert session.decrypt(peer.seal(APPLICATION_DATA, data)) == data
                assert peer.open(session.encrypt(data)) == [(APPLICATION_DATA, data)]
        for _, session in pairs[::2]:
            session.close()
        for peer, session in pairs[1::2]:
            assert peer.open(session.encrypt(b"last")) == [(APPLICATION_DATA, b"last")]
    finally:
        library.tls_set_cipher_contexts_max(2048)

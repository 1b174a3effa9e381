"""Records straight from and to sockets that do not block."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from borealis.tls import ServerContext, TlsError, TlsSession
from borealis.tls.library import INPUT_BYTES_MAX
from tests.certificates import Authority
from tests.unit.tls.memory_client import MemoryClient, shake_hands

AT_ONCE = 65536


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours, and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


@pytest.fixture(params=["TLSv1_3", "TLSv1_2"])
def pair(
    request: pytest.FixtureRequest, context: ServerContext, authority: Authority
) -> tuple[MemoryClient, TlsSession]:
    client = MemoryClient(authority.certificate, version=ssl.TLSVersion[request.param])
    return client, shake_hands(context, client)


Ends = tuple[socket.socket, socket.socket]
Pair = tuple[MemoryClient, TlsSession]


def test_there_and_back(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (client, session) = ends, pair
    for text in (b"one", b"two"):
        theirs.send(client.write(text))
        assert session.receive(ours.fileno(), AT_ONCE) == text
        assert session.send(ours.fileno(), text.upper()) == b""
        assert client.read(theirs.recv(AT_ONCE)) == text.upper()
    assert session.send(ours.fileno(), b"") == b""


def test_nothing_has_come(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (client, session) = ends, pair
    assert session.receive(ours.fileno(), AT_ONCE) == b""
    record = client.write(b"in pieces")
    theirs.send(record[:-1])
    assert session.receive(ours.fileno(), AT_ONCE) == b""
    theirs.send(record[-1:])
    assert session.receive(ours.fileno(), AT_ONCE) == b"in pieces"


def test_no_more_than_asked_for_is_taken(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (client, session) = ends, pair
    theirs.send(client.write(b"first"))
    first = len(client.write(b"other")) - 1
    assert session.receive(ours.fileno(), first) == b""
    assert len(ours.recv(AT_ONCE, socket.MSG_PEEK)) == 1
    assert session.receive(ours.fileno(), first) == b"first"


def test_what_a_socket_does_not_take_is_kept(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (client, session) = ends, pair
    text = bytes(range(256)) * (3 * INPUT_BYTES_MAX // 256)
    unsent = session.send(ours.fileno(), text)
    assert unsent
    assert session.send(ours.fileno(), b"behind it")  # not a byte fits
    theirs.setblocking(False)
    arrived = b""
    while unsent:
        arrived += theirs.recv(1 << 20)
        unsent = unsent[ours.send(unsent) :]
    arrived += theirs.recv(1 << 20)
    assert client.read(arrived) == text


def test_the_end_of_the_stream(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (client, session) = ends, pair
    theirs.send(client.write(b"last words") + client.close())
    assert session.receive(ours.fileno(), AT_ONCE) == b"last words"
    assert session.peer_closed
    theirs.close()
    with pytest.raises(EOFError):
        session.receive(ours.fileno(), AT_ONCE)
    with pytest.raises(BrokenPipeError):
        session.send(ours.fileno(), b"x")


def test_a_reset(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (_, session) = ends, pair
    ours.send(b"unread")
    theirs.close()
    with pytest.raises(ConnectionResetError):
        session.receive(ours.fileno(), AT_ONCE)


def test_a_broken_record_and_a_closed_session(ends: Ends, pair: Pair) -> None:
    (ours, theirs), (client, session) = ends, pair
    record = bytearray(client.write(b"x"))
    record[-1] ^= 1
    theirs.send(record)
    with pytest.raises(TlsError) as caught:
        session.receive(ours.fileno(), AT_ONCE)
    assert caught.value.alert
    session.close()
    with pytest.raises(TlsError):
        session.send(ours.fileno(), b"x")
    theirs.send(b"x")
    with pytest.raises(TlsError):
        session.receive(ours.fileno(), AT_ONCE)


def test_no_socket(pair: Pair) -> None:
    _, session = pair
    with pytest.raises(OSError, match="Bad file descriptor"):
        session.receive(-1, AT_ONCE)

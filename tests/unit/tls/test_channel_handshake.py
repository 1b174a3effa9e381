"""Two of our own hosts: each knows the other, or there is no channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from borealis.tls import TlsError, TlsSession
from borealis.tls.handshake import ChannelContext, ChannelHandshake
from tests.certificates import Authority
from tests.unit.tls.memory_client import move


def contexts(
    accepting: Authority, connecting: Authority, *, purpose: str = "client", name: str = "front.host"
) -> tuple[ChannelContext, ChannelContext]:
    """(accepting, connecting), where each believes in the authority of the other's certificate if it is its own."""
    server, client = accepting.issue(name), connecting.issue("relay.host", purpose=purpose)
    return (
        ChannelContext(server.chain, server.key, accepting.certificate, connects=False),
        ChannelContext(client.chain, client.key, connecting.certificate, connects=True),
    )


def shake_hands(accepting: ChannelContext, connecting: ChannelContext) -> tuple[TlsSession, TlsSession]:
    server, client = ChannelHandshake(accepting), ChannelHandshake(connecting, "front.host")
    to_client = server.feed(client.start())
    to_server = client.feed(to_client)
    server.feed(to_server)
    return server.finish(), client.finish()


def test_both_sides_speak_and_may_move(authority: Authority) -> None:
    server, client = shake_hands(*contexts(authority, authority))
    for _ in range(3):
        assert server.decrypt(client.encrypt(b"from the relay")) == b"from the relay"
        assert client.decrypt(server.encrypt_buffer(bytearray(b"from the front"))) == b"from the front"
        server, client = move(server), move(client)


def test_a_client_without_a_certificate_for_clients_is_refused(authority: Authority) -> None:
    with pytest.raises(TlsError, match="certificate"):
        shake_hands(*contexts(authority, authority, purpose="server"))


def test_a_server_with_another_name_is_refused(authority: Authority) -> None:
    with pytest.raises(TlsError, match="certificate"):
        shake_hands(*contexts(authority, authority, name="other.host"))


def test_a_stranger_is_refused_on_either_side(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    ours, theirs = contexts(authority, authority), contexts(stranger, stranger)
    for accepting, connecting in ((ours[0], theirs[1]), (theirs[0], ours[1])):
        with pytest.raises(TlsError, match="certificate"):
            shake_hands(accepting, connecting)


def test_who_connects_must_say_whom_it_wants(authority: Authority) -> None:
    accepting, connecting = contexts(authority, authority)
    for context, name in ((accepting, "front.host"), (connecting, "")):
        with pytest.raises(TlsError, match="name"):
            ChannelHandshake(context, name)

"""What a client is told that asks for more of the protocol than PostgreSQL 16 has: byte for byte as PostgreSQL."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.integration.relay.world import RelayWorld, packet
from tests.stock import StockServer

TIMEOUT_S = 30


def read_messages(connection: socket.socket, until: bytes) -> list[tuple[bytes, bytes]]:
    """Up to one of that type."""
    found: list[tuple[bytes, bytes]] = []
    while not found or found[-1][0] != until:
        header = read_exactly(connection, 5)
        found.append((header[:1], read_exactly(connection, struct.unpack(">I", header[1:])[0] - 4)))
    return found


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the connection was closed"
        data += more
    return data


def message_of(error: bytes) -> list[bytes]:
    """SQLSTATE and text."""
    return sorted(field for field in error.split(b"\0") if field[:1] in (b"C", b"M"))


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (3 << 16, ()),
        (3 << 16 | 2, ()),
        (3 << 16 | 99, ()),
        (3 << 16 | 9999, ("_pq_.test_protocol_negotiation", "")),
        (3 << 16, ("_pq_.a", "1")),
        (3 << 16 | 2, ("_pq_.b", "1", "_pq_.a", "", "application_name", "x", "_pq_.b", "2")),
    ],
)
def test_versions_and_options_are_talked_down_before_the_authentication(
    world: RelayWorld, stock: StockServer, version: int, options: tuple[str, ...]
) -> None:
    sent = packet("user", "admin", "database", "postgres", *options, version=version)
    with world.tls() as ours, socket.create_connection(("127.0.0.1", stock.port), TIMEOUT_S) as theirs:
        for client in (ours, theirs):
            client.sendall(sent)
        *told, authentication = read_messages(ours, b"R")
        *expected, _ = read_messages(theirs, b"R")
        assert told == expected
        assert len(told) == (version != 3 << 16 or bool(options))
        assert authentication == (b"R", struct.pack(">I", 3))


@pytest.mark.parametrize("version", [3 << 16 | 2, 4 << 16, 1 << 16])
def test_what_is_refused_is_refused_in_the_same_order(world: RelayWorld, stock: StockServer, version: int) -> None:
    """Without a user: a version of the future is talked down first."""
    sent = packet("database", "postgres", version=version)
    with world.tls() as ours, socket.create_connection(("127.0.0.1", stock.port), TIMEOUT_S) as theirs:
        for client in (ours, theirs):
            client.sendall(sent)
        *told, (_, refusal) = read_messages(ours, b"E")
        if version >> 16 < 3:  # PostgreSQL says it in the format of protocol 2
            line = b"EFATAL:  unsupported frontend protocol 1.0: server supports 3.0 to 3.0\n\0"
            assert read_exactly(theirs, len(line)) == line
            assert b"Munsupported frontend protocol 1.0: server supports 3.0 to 3.0\0" in refusal
            return
        *expected, (_, failure) = read_messages(theirs, b"E")
        assert told == expected
        assert message_of(refusal) == message_of(failure)


def test_a_session_of_a_newer_client_begins_and_works(world: RelayWorld) -> None:
    """The front says nothing of it again."""
    with world.tls() as client:
        client.sendall(packet("user", "admin", "database", "postgres", version=3 << 16 | 2))
        told = read_messages(client, b"R")
        assert [kind for kind, _ in told] == [b"v", b"R"]
        token = world.token().encode() + b"\0"
        client.sendall(b"p" + struct.pack(">I", 4 + len(token)) + token)
        assert b"v" not in [kind for kind, _ in read_messages(client, b"Z")]

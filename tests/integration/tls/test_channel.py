"""Sessions between two hosts: what becomes of them when a side is slow, refuses, breaks the rules or dies."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from borealis.channel import Channel, ChannelLost, Gateway, connect_channel
from borealis.foundation.errors import Unavailable
from borealis.tls.handshake import ChannelContext
from borealis.wire.channel_frames import WINDOW_BYTES
from borealis.wire.frames import FRAME_HEADER_BYTES, FrameReader
from borealis.wire.handover import (
    REQUEST_LIMITS,
    CancelRequest,
    HandOverFrame,
    Refusal,
    decode_cancel,
    encode_hand_over,
    encode_taken,
)
from tests.certificates import Authority
from tests.integration.tls.hosts import HOST, Hosts
from tests.integration.tls.process_memory import find_in_memory
from tests.integration.tls.test_memory import secrets_of
from tests.unit.wire.test_handover import SAMPLE

TIMEOUT_S = 30


@pytest.fixture
def far() -> Iterator[Hosts]:
    with Hosts("echo", is_remote=True) as hosts:
        yield hosts


def connect(hosts: Hosts, key_log: Path | None = None) -> ssl.SSLSocket:
    """A client that speaks TLS at once, and no Postgres."""
    context = ssl.create_default_context(cafile=hosts.authority.certificate)
    context.set_alpn_protocols(["postgresql"])
    if key_log is not None:
        context.keylog_filename = str(key_log)
    connection = socket.create_connection(("127.0.0.1", hosts.port), timeout=TIMEOUT_S)
    return context.wrap_socket(connection, server_hostname=HOST, suppress_ragged_eofs=False)


def is_echoed(client: ssl.SSLSocket, data: bytes) -> bool:
    client.sendall(data)
    received = b""
    while len(received) < len(data) and (piece := client.recv(2**16)):
        received += piece
    return received == data


def send_until_it_is_full(client: ssl.SSLSocket) -> int:
    sent = 0
    with suppress(ssl.SSLWantWriteError):
        while sent < 2**30:
            sent += client.send(bytes(2**16))
    return sent


def test_a_session_that_does_not_read_holds_up_itself_alone(far: Hosts) -> None:
    with connect(far) as idle, connect(far) as busy:
        idle.setblocking(False)
        sent = send_until_it_is_full(idle)
        # Both ways: windows, and what the kernels of the sockets on the way hold.
        assert sent < 200 * WINDOW_BYTES
        for number in range(50):
            assert is_echoed(busy, b"%d" % number * 1000)
        assert is_echoed(busy, bytes(2**20))
        idle.setblocking(True)
        received = 0
        while received < sent:
            received += len(idle.recv(2**16))


def test_the_relay_cannot_read_what_it_forwards(far: Hosts, tmp_path: Path) -> None:
    secrets: dict[str, bytes] = {}
    with ExitStack() as stack:
        for number in range(5):
            key_log = tmp_path / f"{number}"
            client = stack.enter_context(connect(far, key_log))
            assert is_echoed(client, b"hello")
            secrets |= {f"session {number}: {name}": secret for name, secret in secrets_of(key_log).items()}
        assert find_in_memory(far.processes["terminating"].pid, secrets) == set()
        # That the search finds what is there: the front has them.
        in_front = find_in_memory(far.processes["splicing"].pid, secrets)
        assert {name for name in in_front if name.endswith(("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"))}


def test_a_refused_session_is_told_so_by_the_relay() -> None:
    with Hosts("refuse", is_remote=True) as hosts, connect(hosts) as client:
        assert client.recv(1000) == b"refused: too many open connections"


def test_sessions_end_with_their_channel(far: Hosts) -> None:
    with connect(far) as client:
        assert is_echoed(client, b"hello")
        far.processes["gateway"].kill()
        # No close_notify: the client can tell that its session was cut off.
        with pytest.raises(ssl.SSLEOFError):
            client.recv(10)


def test_strangers_do_not_disturb(far: Hosts) -> None:
    with connect(far) as client:
        port = far.gateway_port
        for greeting in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + bytes(10)):
            with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as stranger:
                stranger.sendall(greeting)
                while stranger.recv(1000):
                    pass
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as stranger:
            without_certificate = context.wrap_socket(stranger)
            with without_certificate, pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
                without_certificate.recv(10)
        assert is_echoed(client, b"still here")


# From here on both ends are in this process, and the front is a socket that the test answers.


class Ends:
    """A gateway, a channel to it, and the front's side of a Unix socket."""

    def __init__(self, folder: Path, answer: Callable[[int], bytes | Refusal]) -> None:
        self.front = folder / "front.sock"
        self.frames: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._answer = answer
        self._authority = Authority(folder)
        self._stack = ExitStack()

    async def __aenter__(self) -> Channel:
        near, far = self._authority.issue("relay.host", purpose="client"), self._authority.issue("front.host")
        accepting = ChannelContext(far.chain, far.key, self._authority.certificate, connects=False)
        connecting = ChannelContext(near.chain, near.key, self._authority.certificate, connects=True)
        self._listener = await asyncio.start_unix_server(self._serve, self.front)
        self._gateway = Gateway(accepting, self._find_front, lambda _: self.front)
        self._channel = await connect_channel(
            "127.0.0.1", await self._gateway.start("127.0.0.1", 0), connecting, "front.host"
        )
        with pytest.raises(Unavailable):
            await connect_channel("127.0.0.1", self._channel_port(), connecting, "other.host")
        return self._channel

    def _channel_port(self) -> int:
        assert self._gateway._server is not None
        return int(self._gateway._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._channel.close()
        await self._channel.lost()
        await self._gateway.stop()
        self._listener.close()

    async def _find_front(self, _: object) -> Path | Refusal:
        return self.front

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader(REQUEST_LIMITS)
        while data := await reader.read(2**16):
            for frame in frames.feed(data):
                await self.frames.put((frame.type, bytes(frame.payload)))
                answer = self._answer(frame.type)
                if answer:
                    assert isinstance(answer, bytes)
                    writer.write(answer)
        writer.close()


def test_the_message_is_that_of_a_local_hand_over(tmp_path: Path) -> None:
    async def run() -> None:
        ends = Ends(tmp_path, lambda kind: encode_taken() if kind == HandOverFrame.TAKE else b"")
        async with asyncio.timeout(TIMEOUT_S), ends as channel:
            sealed = encode_hand_over(SAMPLE, 200)
            sealed.tls_state[:] = os.urandom(200)
            sealed.tls_state.release()
            expected = bytes(sealed.frame[FRAME_HEADER_BYTES:])
            stream = await channel.hand_over(sealed.frame)
            assert not any(sealed.frame)
            assert await ends.frames.get() == (HandOverFrame.TAKE, expected)
            # The front has closed its end of the socket that it was given.
            assert not isinstance(stream, tuple)
            assert await stream.read() == b""

            channel.cancel(CancelRequest(65537, 2**32 - 1))
            kind, payload = await ends.frames.get()
            assert (kind, decode_cancel(payload)) == (HandOverFrame.CANCEL, CancelRequest(65537, 2**32 - 1))

    asyncio.run(run())


def test_an_offer_that_nobody_answers_is_neither_taken_nor_refused(tmp_path: Path) -> None:
    async def run() -> None:
        ends = Ends(tmp_path, lambda _: b"")
        async with asyncio.timeout(TIMEOUT_S), ends as channel:
            sealed = encode_hand_over(SAMPLE, 200)
            offer = asyncio.create_task(channel.hand_over(sealed.frame))
            await ends.frames.get()
            channel.close()
            with pytest.raises(ChannelLost):
                await offer
            with pytest.raises(Unavailable):
                await channel.hand_over(encode_hand_over(SAMPLE, 200).frame)

    asyncio.run(run())


def test_a_hand_over_that_breaks_a_rule_ends_the_channel(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(TIMEOUT_S), Ends(tmp_path, lambda _: b"") as channel:
            frame = encode_hand_over(SAMPLE, 200).frame
            frame[FRAME_HEADER_BYTES] = 99
            with pytest.raises(ChannelLost):
                await channel.hand_over(frame)
            await channel.lost()

    asyncio.run(run())

"""A process that shakes hands with Postgres clients and hands them over at once, like a relay that asks nothing.

    python -m tests.integration.tls.terminating CHAIN KEY front PATH
    python -m tests.integration.tls.terminating CHAIN KEY channel PORT CHAIN KEY AUTHORITY

Prints the port that it listens on.
"""

from __future__ import annotations

import array
import asyncio
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

from borealis.channel import Channel, connect_channel, forward
from borealis.foundation.identifiers import Timestamp
from borealis.tls import ServerContext, ServerHandshake, TlsError, TlsSession, cleanse
from borealis.tls.handshake import ChannelContext
from borealis.wire.handover import Action, HandOver, encode_hand_over

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
GSSENC_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x30"


def describe(client: socket.socket, is_direct: bool, has_alpn: bool) -> HandOver:
    address, port = client.getpeername()[:2]
    return HandOver(
        cluster="a" * 26,
        server_name="",
        database="postgres",
        user="admin",
        startup_parameters=(),
        protocol_version=3 << 16,
        principal="arn:aws:iam::000000000000:user/admin",
        action=Action.DB_CONNECT_ADMIN,
        client_address=ip_address(address),
        client_port=port,
        deadline=Timestamp(2**63),
        is_direct_tls=is_direct,
        has_alpn=has_alpn,
    )


async def shake_hands(client: socket.socket, context: ServerContext) -> tuple[TlsSession, HandOver]:
    loop = asyncio.get_running_loop()
    data = await loop.sock_recv(client, 8)
    is_direct = data[:1] == b"\x16"
    while not is_direct:
        await loop.sock_sendall(client, b"S" if data == SSL_REQUEST else b"N")
        is_asking = data == GSSENC_REQUEST
        data = await loop.sock_recv(client, 8)
        if not is_asking:
            break
    handshake = ServerHandshake(context, is_direct=is_direct)
    try:
        await loop.sock_sendall(client, handshake.feed(data))
        while not handshake.is_done:
            await loop.sock_sendall(client, handshake.feed(await loop.sock_recv(client, 2**14)))
    except TlsError as error:
        await loop.sock_sendall(client, error.alert)
        raise
    hand_over = describe(client, is_direct, handshake.has_alpn)
    return handshake.finish(), hand_over


async def to_front(path: str, client: socket.socket, frame: bytearray) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as front:
        front.setblocking(False)
        await loop.sock_connect(front, path)
        descriptor = array.array("i", [client.fileno()])
        sent = front.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
        assert sent == len(frame)
        cleanse(frame)
        assert len(await loop.sock_recv(front, 100)) == 16
    client.close()


async def serve(client: socket.socket, context: ServerContext, front: str, channel: Channel | None) -> None:
    client.setblocking(False)
    session, hand_over = await shake_hands(client, context)
    sealed = encode_hand_over(hand_over, session.export_bytes)
    session.export_into(sealed.tls_state)
    sealed.tls_state.release()
    if channel is None:
        await to_front(front, client, sealed.frame)
        session.close()
        return
    stream = await channel.hand_over(sealed.frame)
    if isinstance(stream, tuple):
        session.reclaim()
        await asyncio.get_running_loop().sock_sendall(client, session.encrypt(f"refused: {stream.message}".encode()))
        client.close()
        return
    session.close()
    await forward(client, stream)


async def main(chain: str, key: str, kind: str, target: str, *channel_files: str) -> None:
    context = ServerContext(Path(chain), Path(key))
    channel = None
    if kind == "channel":
        files = map(Path, channel_files)
        channel = await connect_channel("127.0.0.1", int(target), ChannelContext(*files, connects=True), "front.host")
    listener = socket.create_server(("127.0.0.1", 0), backlog=500)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    tasks = set()
    while True:
        client, _ = await asyncio.get_running_loop().sock_accept(listener)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(serve(client, context, target, channel))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

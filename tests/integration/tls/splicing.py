"""A process that takes sessions like a front, and connects each with a Postgres backend of its own: no pooling.

    python -m tests.integration.tls.splicing SOCKET POSTGRES

SOCKET is where sessions are handed over, POSTGRES the Unix socket of a server. With POSTGRES "echo" it says back
what it is told instead; with "rekey" it does so, and wants new keys after every second record; with "refuse" it takes
no session. Prints `ready`.
"""

from __future__ import annotations

import array
import asyncio
import socket
import sys

from borealis.tls import TlsError, TlsSession
from borealis.wire.handover import HandOverReader, Refusal, decode_hand_over, encode_refused, encode_taken

RECORDS_PER_KEY = 2


async def read_hand_over(relay: socket.socket) -> tuple[memoryview, socket.socket]:
    """The payload, and the client that came with it."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(relay, lambda: readable.done() or readable.set_result(None))
    await readable
    loop.remove_reader(relay)
    reader = HandOverReader()
    count, ancillary, _, _ = relay.recvmsg_into([reader.space()], socket.CMSG_SPACE(4))
    ((_, _, data),) = ancillary
    client = socket.socket(fileno=array.array("i", data)[0])
    client.setblocking(False)
    while (frame := reader.received(count)) is None:
        count = await loop.sock_recv_into(relay, reader.space())
    return frame[1], client


async def client_to_backend(client: socket.socket, session: TlsSession, backend: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    data = session.decrypt(b"")
    while True:
        await loop.sock_sendall(backend, data)
        if session.peer_closed:
            return
        received = await loop.sock_recv(client, 2**16)
        if not received:
            return
        data = session.decrypt(received)


async def backend_to_client(client: socket.socket, session: TlsSession, backend: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(backend, 2**16):
        await loop.sock_sendall(client, session.encrypt(data))


async def connect(postgres: str) -> socket.socket:
    if postgres in ("echo", "rekey"):
        backend, echo = socket.socketpair()
        task = asyncio.create_task(repeat(echo))
        task.add_done_callback(lambda _: echo.close())
    else:
        backend = socket.socket(socket.AF_UNIX)
        backend.setblocking(False)
        await asyncio.get_running_loop().sock_connect(backend, postgres)
    backend.setblocking(False)
    return backend


async def repeat(echo: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    echo.setblocking(False)
    while data := await loop.sock_recv(echo, 2**16):
        await loop.sock_sendall(echo, data)


async def serve(relay: socket.socket, postgres: str) -> None:
    loop = asyncio.get_running_loop()
    with relay:
        relay.setblocking(False)
        payload, client = await read_hand_over(relay)
        _, state = decode_hand_over(payload)
        if postgres == "refuse":
            client.close()
            await loop.sock_sendall(relay, encode_refused(Refusal("53300", "too many open connections")))
            return
        session = TlsSession.adopt(state)
        if postgres == "rekey":
            session.rekey_after(RECORDS_PER_KEY)
        await loop.sock_sendall(relay, encode_taken())
    backend = await connect(postgres)
    with client, backend:
        tasks = [asyncio.create_task(copy(client, session, backend)) for copy in (client_to_backend, backend_to_client)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        error = next(iter(done)).exception()
        last = error.alert if isinstance(error, TlsError) else session.close_notify()
        await loop.sock_sendall(client, last)
    session.close()


async def main(path: str, postgres: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(500)
    listener.setblocking(False)
    print("ready", flush=True)
    tasks = set()
    while True:
        relay, _ = await asyncio.get_running_loop().sock_accept(listener)
        task = asyncio.create_task(serve(relay, postgres))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

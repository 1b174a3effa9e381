"""A process that does with TLS what a relay does, over the file descriptors that it inherited, and stays.

    python -m tests.integration.tls.relay_process CHAIN KEY ORDERS

Orders come on the socket ORDERS, each with a connected client's descriptor (SCM_RIGHTS): the process shakes hands,
echoes one message and answers with the TLS state. After `hand over` it closes the session, after `keep` it takes it
back; then it says `done`.
"""

from __future__ import annotations

import array
import socket
import sys
from pathlib import Path

from borealis.tls import ServerContext, ServerHandshake, TlsSession, cleanse


def shake_hands(context: ServerContext, client: socket.socket) -> TlsSession:
    handshake = ServerHandshake(context, is_direct=False)
    while not handshake.is_done:
        client.sendall(handshake.feed(client.recv(2**16)))
    session = handshake.finish()
    message = session.decrypt(b"")
    while not message:
        message = session.decrypt(client.recv(2**16))
    client.sendall(session.encrypt(message))
    return session


def send_state(session: TlsSession, orders: socket.socket) -> None:
    state = bytearray(session.export_bytes)
    session.export_into(state)
    orders.sendall(state)
    cleanse(state)


def main(chain: str, key: str, descriptor: str) -> None:
    context = ServerContext(Path(chain), Path(key))
    kept = []
    with socket.socket(fileno=int(descriptor)) as orders:
        while True:
            order, ancillary, _, _ = orders.recvmsg(100, socket.CMSG_SPACE(4))
            if not order:
                return
            ((_, _, data),) = ancillary
            with socket.socket(fileno=array.array("i", data)[0]) as client:
                session = shake_hands(context, client)
            send_state(session, orders)
            if order == b"keep":
                session.reclaim()
                kept.append(session)
            else:
                session.close()
            orders.sendall(b"done")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A relay in a few lines, for tests of the front: takes clients over TLS, believes them, and hands them over.

Everything behind the startup packet is the front's. Threads, because clients of tests are few.
"""

from __future__ import annotations

import array
import socket
import struct
import threading
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from borealis.foundation.identifiers import Timestamp
from borealis.tls import ServerContext, ServerHandshake, TlsError, TlsSession, cleanse
from borealis.wire.frames import Frame, FrameReader
from borealis.wire.handover import (
    ANSWER_LIMITS,
    Action,
    CancelRequest,
    HandOver,
    Refusal,
    decode_hand_over_answer,
    encode_cancel,
    encode_hand_over,
)

CLUSTER = "abcdefghijklmnopqrstuvwxyz"
PRINCIPAL = "arn:aws:iam::000000000000:user/tester"
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
SESSION_S = 3600


class Entrance:
    """Listens on a loopback port of its own; every client is handed to the front on `front_path`."""

    def __init__(self, front_path: Path, chain: Path, key: Path) -> None:
        self._front_path = front_path
        self._context = ServerContext(chain, key)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(self._listener.getsockname()[1])
        self.session_s = float(SESSION_S)
        self.changes: dict[str, object] = {}
        """Fields of the hand-over that a test wants to be others."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def dsn(self, user: str = "admin", **options: object) -> str:
        more = "".join(f" {name}='{value}'" for name, value in options.items())
        return f"host=127.0.0.1 port={self.port} user={user} dbname=postgres sslmode=require connect_timeout=30{more}"

    def _accept(self) -> None:
        while True:
            try:
                client, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._admit, args=(client, address), daemon=True).start()

    def _admit(self, client: socket.socket, address: tuple[str, int]) -> None:
        with client:
            try:
                is_direct = client.recv(1, socket.MSG_PEEK) == b"\x16"
                if not is_direct and not self._negotiate(client):
                    return
                session = self._shake_hands(client, is_direct)
                startup = _read_startup(client, session)
                if isinstance(startup, CancelRequest):
                    self.cancel(startup)
                    client.sendall(session.close_notify())
                    return
                protocol, parameters, unread = startup
            except (OSError, TlsError, EOFError):
                return
            user = parameters.pop("user")
            hand_over = HandOver(
                cluster=CLUSTER,
                server_name="",
                database=parameters.pop("database", user),
                user=user,
                startup_parameters=tuple(parameters.items()),
                protocol_version=protocol,
                principal=PRINCIPAL,
                action=Action.DB_CONNECT_ADMIN if user == "admin" else Action.DB_CONNECT,
                client_address=ip_address(address[0]),
                client_port=address[1],
                deadline=Timestamp(time.time_ns() + int(self.session_s * 1e9)),
                is_direct_tls=is_direct,
                has_alpn=is_direct,
                unread_plaintext=unread,
            )
            refusal = self.hand_over(client, replace(hand_over, **self.changes), session)  # type: ignore[arg-type]
            if refusal is not None:
                session.reclaim()
                client.sendall(session.encrypt(_error(refusal)) + session.close_notify())

    def _negotiate(self, client: socket.socket) -> bool:
        """Up to the answer `S`; false if it was a cancel request."""
        while True:
            length, code = struct.unpack(">II", _receive_exactly(client, 8))
            if code == CANCEL_REQUEST:
                self.cancel(CancelRequest(*struct.unpack(">II", _receive_exactly(client, length - 8))))
                return False
            if code == SSL_REQUEST:
                client.sendall(b"S")
                return True
            client.sendall(b"N")

    def cancel(self, request: CancelRequest) -> None:
        with self._connect() as front:
            front.sendall(encode_cancel(request))

    def _shake_hands(self, client: socket.socket, is_direct: bool) -> TlsSession:
        handshake = ServerHandshake(self._context, is_direct=is_direct)
        while not handshake.is_done:
            header = _receive_exactly(client, 5)
            client.sendall(handshake.feed(header + _receive_exactly(client, int.from_bytes(header[3:5]))))
        return handshake.finish()

    def _connect(self) -> socket.socket:
        front = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        front.connect(str(self._front_path))
        return front

    def hand_over(self, client: socket.socket, hand_over: HandOver, session: TlsSession) -> Refusal | None:
        sealed = encode_hand_over(hand_over, session.export_bytes)
        session.export_into(sealed.tls_state)
        with self._connect() as front:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))
            sent = front.sendmsg([sealed.frame], [rights])
            front.sendall(sealed.frame[sent:])
            cleanse(sealed.tls_state)
            return receive_answer(front)


def receive_answer(front: socket.socket) -> Refusal | None:
    reader = FrameReader(ANSWER_LIMITS)
    frames: list[Frame] = []
    while not frames:
        data = front.recv(65536)
        if not data:
            return Refusal("XX000", "the front closed the connection")
        frames = reader.feed(data)
    return decode_hand_over_answer(frames[0].type, frames[0].payload)


def _read_startup(client: socket.socket, session: TlsSession) -> tuple[int, dict[str, str], bytes] | CancelRequest:
    received = session.decrypt(b"")
    while len(received) < 4 or len(received) < int.from_bytes(received[:4]):
        data = client.recv(65536)
        if not data:
            raise EOFError
        received += session.decrypt(data)
    length, protocol = struct.unpack_from(">II", received)
    if protocol == CANCEL_REQUEST:
        return CancelRequest(*struct.unpack(">II", received[8:16]))
    texts = received[8:length].decode().split("\0")
    return protocol, dict(zip(texts[:-2:2], texts[1:-2:2], strict=True)), received[length:]


def _receive_exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _error(refusal: Refusal) -> bytes:
    fields = [b"SFATAL", b"VFATAL", b"C" + refusal.sqlstate.encode(), b"M" + refusal.message.encode()]
    if refusal.hint:
        fields.append(b"H" + refusal.hint.encode())
    body = b"".join(field + b"\0" for field in fields) + b"\0"
    return b"E" + struct.pack(">I", 4 + len(body)) + body

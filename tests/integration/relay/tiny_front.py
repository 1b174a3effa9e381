"""A host with one front, to stand behind a relay: `python tiny_front.py RUN CLUSTER…`. Prints `ready`.

It takes sessions as a real front does, over TLS with the keys that it was handed, and answers every statement with one
row: what it was told about the session, as JSON. Commands on its standard input, one a line: `refuse SQLSTATE MESSAGE`
(the next session), `vanish` (drop the connection that brings the next session), `sleep` (the clusters' fronts are
gone until somebody starts them), `stall` (likewise, and no start is ever answered), `make CLUSTER` (one that has not
been there), `sessions`.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import struct
import sys
from pathlib import Path

from borealis.tls import TlsError, TlsSession, cleanse
from borealis.wire.handover import (
    HandOver,
    HandOverFrame,
    HandOverReader,
    Refusal,
    decode_cancel,
    decode_hand_over,
    encode_refused,
    encode_taken,
)

FRONT_ID = 7


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


AUTHENTICATION_OK = message(b"R", struct.pack(">I", 0))
READY = message(b"Z", b"I")
ROW_DESCRIPTION = message(b"T", b"\0\x01" + b"told\0" + struct.pack(">IHIhih", 0, 0, 25, -1, -1, 0))
ENDING = {b"P": b"1", b"B": b"2", b"C": b"3"}


def row(text: str) -> bytes:
    value = text.encode()
    return message(b"D", struct.pack(">HI", 1, len(value)) + value) + message(b"C", b"SELECT 1\0")


class Session:
    """One client, by what the relay said of it."""

    def __init__(self, front: Front, number: int, client: socket.socket, told: HandOver, tls: TlsSession) -> None:
        self._front = front
        self._client = client
        self._tls = tls
        self._buffer = bytearray(told.unread_plaintext)
        self.number = number
        self.told = json.dumps(
            {
                "cluster": told.cluster,
                "server_name": told.server_name,
                "user": told.user,
                "database": told.database,
                "principal": told.principal,
                "action": told.action.name,
                "parameters": dict(told.startup_parameters),
                "protocol": told.protocol_version,
                "is_direct_tls": told.is_direct_tls,
                "has_alpn": told.has_alpn,
                "tls": tls.version,
                "address": str(told.client_address),
                "deadline": told.deadline,
                "canceled": 0,
            }
        )
        self.canceled = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._client.setblocking(False)
        greeting = [AUTHENTICATION_OK]
        for name, value in (("server_version", "16.14"), ("client_encoding", "UTF8"), ("TimeZone", "UTC")):
            greeting.append(message(b"S", f"{name}\0{value}\0".encode()))
        for name, value in (("standard_conforming_strings", "on"), ("integer_datetimes", "on")):
            greeting.append(message(b"S", f"{name}\0{value}\0".encode()))
        greeting.append(message(b"K", struct.pack(">II", FRONT_ID << 16 | self.number, 1234)))
        try:
            await self._send(b"".join(greeting) + READY)
            self._buffer += self._tls.decrypt(b"")
            while await self._answer():
                data = await loop.sock_recv(self._client, 2**16)
                if not data:
                    break
                self._buffer += self._tls.decrypt(data)
        except (OSError, TlsError):
            pass
        finally:
            self._front.sessions.pop(self.number, None)
            self._client.close()
            self._tls.close()

    async def _send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._client, self._tls.encrypt(data))

    async def _answer(self) -> bool:
        """What can be answered now; False at the end of the session."""
        answers = []
        goes_on = True
        while goes_on and len(self._buffer) >= 5:
            end = 1 + struct.unpack_from(">I", self._buffer, 1)[0]
            if len(self._buffer) < end:
                break
            kind, body = bytes(self._buffer[:1]), bytes(self._buffer[5:end])
            del self._buffer[:end]
            goes_on = kind != b"X"
            answers.append(self._answer_one(kind, body))
        if any(answers):
            await self._send(b"".join(answers))
        return goes_on

    def _answer_one(self, kind: bytes, body: bytes) -> bytes:
        told = json.dumps(json.loads(self.told) | {"canceled": self.canceled})
        if kind == b"Q":
            return ROW_DESCRIPTION + row(told) + READY
        if kind == b"D":
            parameters = message(b"t", b"\0\0") if body[:1] == b"S" else b""
            return parameters + ROW_DESCRIPTION
        if kind == b"E":
            return row(told)
        if kind == b"S":
            return READY
        return message(ENDING[kind]) if kind in ENDING else b""


class Front:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.sessions: dict[int, Session] = {}
        self.refusals: list[Refusal] = []
        self.is_to_vanish = False
        self._numbers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(1024)
        listener.setblocking(False)
        while True:
            relay, _ = await asyncio.get_running_loop().sock_accept(listener)
            self._spawn(self._serve_relay(relay))

    def _spawn(self, work) -> None:  # type: ignore[no-untyped-def]
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_relay(self, relay: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(relay, readable.set)
        reader, descriptors = HandOverReader(), array.array("i")
        try:
            while True:
                await readable.wait()
                readable.clear()
                try:
                    count, ancillary, _, _ = relay.recvmsg_into([reader.space()], socket.CMSG_SPACE(4))
                except BlockingIOError:
                    continue
                if not count:
                    return
                readable.set()
                for _, _, data in ancillary:
                    descriptors.frombytes(data)
                frame = reader.received(count)
                if frame is None:
                    continue
                reader = HandOverReader()
                if frame[0] is HandOverFrame.CANCEL:
                    self._cancel(frame[1])
                else:
                    client = socket.socket(fileno=descriptors.pop())
                    if self.is_to_vanish:
                        self.is_to_vanish = False
                        client.close()
                        return
                    relay.sendall(self._take(client, frame[1]))
        finally:
            loop.remove_reader(relay)
            relay.close()

    def _take(self, client: socket.socket, payload: memoryview) -> bytes:
        told, state = decode_hand_over(payload)
        if self.refusals:
            cleanse(state)
            client.close()
            return encode_refused(self.refusals.pop(0))
        tls = TlsSession.adopt(state)
        self._numbers += 1
        session = self.sessions[self._numbers] = Session(self, self._numbers, client, told, tls)
        self._spawn(session.run())
        return encode_taken()

    def _cancel(self, payload: memoryview) -> None:
        process_id, secret = decode_cancel(payload)
        session = self.sessions.get(process_id & 0xFFFF)
        if session is not None and secret == 1234:
            session.canceled += 1
            print(f"canceled {session.number}", flush=True)


class Host:
    """The control socket, as far as a relay uses it."""

    def __init__(self, front: Front, clusters: list[str]) -> None:
        self._front = front
        self._awake = dict.fromkeys(clusters, True)
        self._watchers: set[asyncio.StreamWriter] = set()
        self.is_stalled = False

    def sleep(self) -> None:
        for cluster in self._awake:
            self._awake[cluster] = False
            self._tell(cluster)

    def make(self, cluster: str) -> None:
        self._awake[cluster] = True
        self._tell(cluster)

    def _tell(self, cluster: str) -> None:
        event = {"event": "cluster", "cluster": cluster, "fronts": self._fronts(cluster)}
        for watcher in self._watchers:
            watcher.write(json.dumps(event).encode() + b"\n")

    def _fronts(self, cluster: str) -> list[dict[str, object]]:
        return [{"id": FRONT_ID, "path": str(self._front.path)}] if self._awake[cluster] else []

    async def serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            answer: dict[str, object] = {"id": request["id"]}
            cluster = request.get("cluster")
            if request["do"] == "watch":
                self._watchers.add(writer)
                for name in self._awake:
                    if self._awake[name]:
                        event = {"event": "cluster", "cluster": name, "fronts": self._fronts(name)}
                        writer.write(json.dumps(event).encode() + b"\n")
            elif cluster not in self._awake:
                print(f"unknown {cluster}", flush=True)
                answer |= {"error": "unknown_cluster", "text": "there is no such cluster"}
            elif self.is_stalled:
                print(f"asked {cluster}", flush=True)
                continue
            else:
                self._awake[cluster] = True
                answer["fronts"] = self._fronts(cluster)
                print(f"woken {cluster}", flush=True)
            writer.write(json.dumps(answer).encode() + b"\n")
        self._watchers.discard(writer)
        writer.close()


async def main() -> None:
    run, *clusters = sys.argv[1:]
    front = Front(Path(run) / "front.sock")
    host = Host(front, clusters)
    server = await asyncio.start_unix_server(host.serve_client, Path(run) / "host.sock")
    serving = asyncio.create_task(front.serve())
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), os.fdopen(0, "rb", buffering=0)
    )
    await asyncio.sleep(0)
    print("ready", flush=True)
    while line := await commands.readline():
        match line.decode().split(maxsplit=2):
            case ["refuse", sqlstate, text]:
                front.refusals.append(Refusal(sqlstate, text.strip()))
            case ["vanish"]:
                front.is_to_vanish = True
            case ["sleep"]:
                host.sleep()
            case ["stall"]:
                host.sleep()
                host.is_stalled = True
            case ["make", cluster]:
                host.make(cluster)
            case ["sessions"]:
                pass
        print(f"sessions {len(front.sessions)}", flush=True)
    serving.cancel()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())

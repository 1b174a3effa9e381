"""Measures our TLS (tls_library/) against Python's ssl module over the same OpenSSL, in the same run.

    python -m benchmarks.tls

Handshakes count the server's CPU only, ours with the export of the session and its keys' cleansing; records are small
messages one at a time, as a front has them. Memory is that of sessions at rest, in a process of their own.
"""

from __future__ import annotations

import multiprocessing
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

from borealis.tls import ServerContext, ServerHandshake, TlsSession
from tests.certificates import Authority, Certificate
from tests.unit.tls.memory_client import HOST, MemoryClient, shake_hands

ROUNDS, HANDSHAKES, RECORDS, SESSIONS = 7, 150, 3000, 10_000
SIZES = (50, 500, 4000, 16384)
VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)


class PythonServer:
    """The peer: what asyncio would use."""

    def __init__(self, certificate: Certificate) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.chain, certificate.key)
        self.context.num_tickets = 0

    def shake_hands(self, client: MemoryClient) -> tuple[float, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
        """The CPU seconds of the server, and what it has then."""
        sent, spent = client.step(), 0.0
        start = time.process_time()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.context.wrap_bio(incoming, outgoing, server_side=True)
        is_done = False
        while not is_done:
            incoming.write(sent)
            with suppress(ssl.SSLWantReadError):
                server.do_handshake()
                is_done = True
            answer = outgoing.read()
            spent += time.process_time() - start
            sent = client.step(answer)
            start = time.process_time()
        return spent, server, incoming, outgoing


def our_handshake(context: ServerContext, client: MemoryClient) -> float:
    sent = client.step()
    start = time.process_time()
    handshake = ServerHandshake(context, is_direct=False)
    spent = 0.0
    while not handshake.is_done:
        answer = handshake.feed(sent)
        spent += time.process_time() - start
        sent = client.step(answer)
        start = time.process_time()
    session = handshake.finish()
    state = bytearray(session.export_bytes)
    session.export_into(state)
    session.close()
    return spent + time.process_time() - start


def microseconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / RECORDS * 1e6


def line(name: str, unit: str, ours: list[float], theirs: list[float]) -> None:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"{name:38} {statistics.median(theirs):10,.2f} {statistics.median(ours):10,.2f} {unit:12} {ratio:6.2f}"
        f"  ({min(ours):,.2f} … {max(ours):,.2f})",
        flush=True,
    )


def compare_handshakes(authority: Authority, certificate: Certificate, version: ssl.TLSVersion) -> None:
    context, peer = ServerContext(certificate.chain, certificate.key), PythonServer(certificate)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        clients = [MemoryClient(authority.certificate, version=version) for _ in range(2 * HANDSHAKES)]
        ours.append(HANDSHAKES / sum(our_handshake(context, client) for client in clients[:HANDSHAKES]))
        theirs.append(HANDSHAKES / sum(peer.shake_hands(client)[0] for client in clients[HANDSHAKES:]))
    line(f"handshakes per CPU second, {version.name}", "1/s", ours, theirs)


def compare_records(authority: Authority, certificate: Certificate, version: ssl.TLSVersion, size: int) -> None:
    ours_client = MemoryClient(authority.certificate, version=version)
    theirs_client = MemoryClient(authority.certificate, version=version)
    session = shake_hands(ServerContext(certificate.chain, certificate.key), ours_client)
    _, server, incoming, outgoing = PythonServer(certificate).shake_hands(theirs_client)
    data = bytes(size)

    def our_pairs(records: list[bytes]) -> None:
        for record in records:
            session.decrypt(record)
            session.encrypt(data)

    def their_pairs(records: list[bytes]) -> None:
        for record in records:
            incoming.write(record)
            server.read(2**16)
            server.write(data)
            outgoing.read()

    ours, theirs = [], []
    for _ in range(ROUNDS):
        for client, pairs, times in ((ours_client, our_pairs, ours), (theirs_client, their_pairs, theirs)):
            records = [client.write(data) for _ in range(RECORDS)]
            times.append(microseconds(lambda pairs=pairs, records=records: pairs(records)))  # type: ignore[misc]
    line(f"record in and out, {size:,} B, {version.name}", "us", ours, theirs)


def resident_bytes() -> int:
    for entry in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if entry.startswith("Pss:"):
            return int(entry.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the size of a process")


def measure_sessions(folder: str, is_ours: bool) -> float:
    """Bytes of a session that has read and written and is at rest."""
    authority = Authority(Path(folder), "memory")
    certificate = authority.issue(HOST)
    sessions: list[object] = [None] * (SESSIONS if is_ours else SESSIONS // 20)
    client = MemoryClient(authority.certificate)
    if is_ours:
        session = shake_hands(ServerContext(certificate.chain, certificate.key), client)
        state = bytearray(session.export_bytes)
        session.export_into(state)
        record = client.write(b"x")
        before = resident_bytes()
        for number in range(len(sessions)):
            adopted = TlsSession.adopt(bytearray(state))
            adopted.decrypt(record)
            adopted.encrypt(b"x")
            sessions[number] = adopted
    else:
        server = PythonServer(certificate)
        server.shake_hands(client)
        before = resident_bytes()
        for number in range(len(sessions)):
            client = MemoryClient(authority.certificate)
            sessions[number] = server.shake_hands(client)[1:]
    return (resident_bytes() - before) / len(sessions)


def main() -> None:
    print(f"{'':38} {'Python ssl':>10} {'ours':>10} {'':12} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        certificate = authority.issue(HOST)
        for version in VERSIONS:
            compare_handshakes(authority, certificate, version)
        for version in VERSIONS:
            for size in SIZES:
                compare_records(authority, certificate, version, size)
        if sys.platform == "linux":
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
                sizes = [pool.submit(measure_sessions, folder, is_ours).result() for is_ours in (True, False)]
            line("session at rest", "B", sizes[:1], sizes[1:])


if __name__ == "__main__":
    main()

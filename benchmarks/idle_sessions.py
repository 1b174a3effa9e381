"""Thousands of sessions that do nothing, held by processes of their own: what clients need is not measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

# libpq's own memory for a TLS connection is most of a client's; a few processes open theirs at once.
CLIENTS = 4


@contextmanager
def hold_sessions(parameters: Mapping[str, str], count: int, statement: str = "SELECT 1") -> Iterator[None]:
    """Inside, so many sessions have logged in, executed this, and wait."""
    shares = [count // CLIENTS + (number < count % CLIENTS) for number in range(CLIENTS)]
    command = [sys.executable, "-m", "benchmarks.idle_sessions"]
    clients = [
        subprocess.Popen([*command, str(share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for share in shares
    ]
    try:
        for client in clients:
            assert client.stdin is not None
            client.stdin.write(json.dumps([dict(parameters), statement]) + "\n")
            client.stdin.flush()
        for client in clients:
            assert client.stdout is not None
            if client.stdout.readline().strip() != "held":
                raise RuntimeError("the sessions could not be opened")
        yield
    finally:
        for client in clients:
            assert client.stdin is not None
            client.stdin.close()
            client.wait()


def main() -> None:
    parameters, statement = json.loads(sys.stdin.readline())
    sessions = []
    for _ in range(int(sys.argv[1])):
        session = psycopg.connect(**parameters, autocommit=True)
        session.execute(statement)
        sessions.append(session)
    print("held", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""The processes of one or two hosts: who shakes hands, who takes the session, and what is between them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.certificates import Authority

HOST = "localhost"


class Hosts:
    """`postgres` is what the front is connected with, see splicing.py; `is_remote` puts a channel in between."""

    def __init__(self, postgres: str, *, is_remote: bool, rsa: bool = False) -> None:
        self._postgres = postgres
        self._is_remote = is_remote
        self._rsa = rsa
        self._stack = ExitStack()
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="borealis-tls-")))
        self._stack.callback(self._stop)
        self.authority = Authority(folder)
        certificate = self.authority.issue(HOST)
        front = folder / "front.sock"
        self.spawn("splicing", front, self._postgres)
        target: list[object] = ["front", front]
        if self._is_remote:
            fleet = Authority(folder, "fleet")
            far, near = fleet.issue("front.host"), fleet.issue("relay.host", purpose="client")
            self.gateway_port = int(self.spawn("gateway", front, far.chain, far.key, fleet.certificate))
            target = ["channel", self.gateway_port, near.chain, near.key, fleet.certificate]
        self.port = int(self.spawn("terminating", certificate.chain, certificate.key, *target))
        return self

    def spawn(self, name: str, *arguments: object) -> str:
        """What the process says once it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.tls.{name}", *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes[name] = process
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def _stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

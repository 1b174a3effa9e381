"""The front's process: signals, the door, the loop."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from borealis.front.arrival import Adopt
from borealis.front.door import Door
from borealis.front.front import Front
from borealis.front.places import Places
from borealis.front.poller import READ
from borealis.front.readiness import Readiness
from borealis.front.role_settings import CatalogVersion
from borealis.front.settings import FrontSettings


class FrontServer:
    def __init__(
        self,
        listen: Path,
        postgres_path: str,
        front_id: int,
        cluster: str,
        settings: FrontSettings,
        places: Places,
        catalog_version: CatalogVersion,
        adopt: Adopt,
        on_sessions: Callable[[int], None],
    ) -> None:
        self._front = Front(front_id, cluster, postgres_path, settings, places, catalog_version, on_sessions)
        self._door = Door(self._front, listen, adopt)
        self._is_asked_to_stop = False
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._front.poller.add(self._wake_receiver.fileno(), self, READ)

    @property
    def wake_descriptor(self) -> int:
        """A signal handler's wake-up goes here (signal.set_wakeup_fd)."""
        return self._wake_sender.fileno()

    def stop(self) -> None:
        """From a signal handler: idle sessions end at once, others after their transaction, or after the grace."""
        self._is_asked_to_stop = True

    def ready(self, events: int) -> None:  # noqa: ARG002 - a signal has come
        with suppress(BlockingIOError):
            self._wake_receiver.recv(4096)
        if self._is_asked_to_stop and not self._front.is_stopping:
            self._door.close()
            self._front.stop()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`, and until every session has ended then. `on_ready` once Postgres takes connections."""
        front = self._front
        Readiness(front, on_ready).start()
        front.run_until(lambda: front.is_stopping and front.session_count == 0 and front.farewells == 0)

"""A cancel request on its way to Postgres.

Postgres signals the process before it closes the connection that asked for it. Until then the backend is kept from
other sessions, so that the signal cannot hit the query of anybody else: it reaches the one that it was meant for, or a
backend that waits for a command, which ignores it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from borealis.front import messages
from borealis.front.byte_pipe import PeerGone, connect_unix, read_some, write_some
from borealis.front.poller import READ

if TYPE_CHECKING:
    from borealis.front.backend import Backend
    from borealis.front.front import Front
    from borealis.front.session import Session

_REPLY_BYTES: Final = 64


def cancel(front: Front, session: Session) -> None:
    """What it is doing, or waiting with, if anything."""
    backend = session.backend
    if backend is None:
        session.cancel_waiting()
    elif backend.exchange.is_answering:
        _Cancelling(front, backend).start()


class _Cancelling:
    __slots__ = ("_backend", "_descriptor", "_front")

    def __init__(self, front: Front, backend: Backend) -> None:
        self._front = front
        self._backend = backend
        self._descriptor = -1

    def start(self) -> None:
        backend = self._backend
        try:
            self._descriptor = connect_unix(self._front.postgres_path)
        except OSError as error:
            self._front.log.warning("a cancel request does not reach Postgres: %s", error)
            return
        backend.cancel_begins()
        self._front.poller.add(self._descriptor, self, READ)
        try:
            write_some(self._descriptor, messages.cancel_packet(backend.process_id, backend.secret))
        except PeerGone:
            self._finish()

    def ready(self, events: int) -> None:  # noqa: ARG002 - only the end of the stream can come
        try:
            read_some(self._descriptor, _REPLY_BYTES)
        except PeerGone:
            self._finish()

    def _finish(self) -> None:
        self._front.poller.remove(self._descriptor)
        os.close(self._descriptor)
        self._backend.cancel_is_over()

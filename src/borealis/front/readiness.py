"""Whether Postgres takes connections yet: asked once, when the front starts, however long it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from borealis.foundation.errors import InvariantViolation
from borealis.front.login import SUPERUSER, BackendKind
from borealis.front.settings import SECOND_NS

if TYPE_CHECKING:
    from borealis.front.backend import Backend
    from borealis.front.front import Front

_KIND: Final = BackendKind(SUPERUSER)
_RETRY_NS: Final = SECOND_NS


class Readiness:
    """The first customer of the pool. The backend that it gets stays, for the first look at role mappings."""

    def __init__(self, front: Front, on_ready: Callable[[], None]) -> None:
        self._front = front
        self._on_ready = on_ready

    def start(self) -> None:
        self._front.want(self, _KIND, self._front.states.blank)

    def serve(self, backend: Backend) -> None:
        backend.release()
        self._on_ready()

    def refuse(self, fields: dict[str, str] | None) -> None:
        text = fields.get("M") if fields else "it does not answer"
        self._front.log.error("Postgres cannot be reached: %s", text)
        self._front.poller.call_at(self._front.poller.now_ns + _RETRY_NS, self.start)

    def receive(self, data: bytes) -> None:
        raise InvariantViolation(f"{len(data)} bytes for somebody who asked for nothing")

    def lose_backend(self, *, is_untouched: bool) -> None:
        raise InvariantViolation(f"lost a backend that was given back ({is_untouched=})")

    def backend_is_writable(self) -> None:
        pass

"""Whom the pool serves, as the pool and the backends see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from borealis.front.backend import Backend


class PoolCustomer(Protocol):
    def serve(self, backend: Backend) -> None:
        """It is the customer's until it gives it back."""

    def refuse(self, fields: dict[str, str] | None) -> None:
        """There will be none; what Postgres said about that, if anything."""

    def receive(self, data: bytes) -> None:
        """The backend's answers."""

    def lose_backend(self, *, is_untouched: bool) -> None:
        """It is gone, and what was under way in it; `is_untouched`: of what it was offered it has read nothing."""

    def backend_is_writable(self) -> None:
        """It takes requests again."""

    def __hash__(self) -> int: ...

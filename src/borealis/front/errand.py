"""What the front asks a backend on its own behalf: one statement, of which the first row and the error count. Pure."""

from typing import Final

from borealis.front import messages
from borealis.front.messages import HEADER, HEADER_BYTES, ProtocolViolation

_REPLY_BYTES_MAX: Final = 64 << 20
"""Longest reply: a state of a session, beyond which its owner has gone too far."""


class Errand:
    """`octets` is to be sent; what comes back goes to `reply` until `is_done`."""

    __slots__ = ("_held", "error", "is_done", "octets", "parameters", "row", "status")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.is_done = False
        self.row: list[bytes | None] | None = None
        self.error: dict[str, str] | None = None
        self.status = messages.IDLE
        self.parameters: list[tuple[bytes, bytes]] = []
        """What was reported meanwhile."""
        self._held = b""

    def reply(self, data: bytes) -> None:
        """Raises ProtocolViolation."""
        data = self._held + data
        at, size = 0, len(data)
        while size - at >= HEADER_BYTES:
            kind, length = HEADER.unpack_from(data, at)
            end = at + 1 + length
            if length < 4 or length > _REPLY_BYTES_MAX:
                raise ProtocolViolation("the backend sent an invalid message length")
            if end > size:
                break
            self._note(kind, data[at + HEADER_BYTES : end])
            at = end
        self._held = data[at:]

    def _note(self, kind: int, body: bytes) -> None:
        if kind == messages.DATA_ROW and self.row is None:
            self.row = messages.read_columns(body)
        elif kind == messages.ERROR:
            self.error = messages.read_error(body)
        elif kind == messages.PARAMETER_STATUS:
            name, _, value = body.partition(b"\0")
            self.parameters.append((name, value.rstrip(b"\0")))
        elif kind == messages.READY:
            self.status = body[0]
            self.is_done = True

    @property
    def is_fatal(self) -> bool:
        return self.error is not None and self.error.get("V") in ("FATAL", "PANIC")


def state_export() -> Errand:
    return Errand(messages.query_with_parameters("SELECT borealis.session_export()", (), is_binary=True))


def state_import(blob: bytes) -> Errand:
    return Errand(messages.query_with_parameters("SELECT borealis.session_import($1)", (blob,), is_binary=True))


def log_in(key: int, settings: bytes) -> Errand:
    """`key`: the backend's own, by which it knows that it is the front that asks."""
    parameters = (key.to_bytes(4, "big"), settings)
    return Errand(messages.query_with_parameters("SELECT borealis.session_log_in($1, $2)", parameters, is_binary=True))


def rollback() -> Errand:
    return Errand(messages.query("ROLLBACK"))


def role_check(query: str, role: str, principal: str) -> Errand:
    return Errand(messages.query_with_parameters(query, (role.encode(), principal.encode())))

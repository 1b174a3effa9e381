"""A Postgres backend in a hundred lines: what it answers to each message, in memory.

Knows the rules of the protocol that matter to a front: prepared statements with and without a name, errors that skip up
to the next Sync, COPY that ignores Syncs, transactions. A statement does what its text says: `begin`, `commit`, `copy`,
`DEALLOCATE NAME`, `DEALLOCATE ALL`; `bad…` cannot be prepared, `fail…` cannot be executed, the rest answers with its
own text.
"""

from __future__ import annotations

from borealis.front import messages
from borealis.front.messages import HEADER_BYTES, message

COPY_IN_RESPONSE = message(messages.COPY_IN, b"\0\0\0")


def error(sqlstate: str) -> bytes:
    return messages.error_response("ERROR", sqlstate, "no")


class PostgresModel:
    def __init__(self) -> None:
        self.statements: dict[bytes, bytes] = {}
        self.portal: bytes | None = None
        self.status = messages.IDLE
        self.is_skipping = False
        self.copy: str | None = None
        self._input = b""
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """What it answers. It does not hold output back, as if each message came with a Flush."""
        self._input += data
        while len(self._input) >= HEADER_BYTES:
            kind, length = messages.HEADER.unpack_from(self._input)
            if len(self._input) < 1 + length:
                break
            body, self._input = self._input[HEADER_BYTES : 1 + length], self._input[1 + length :]
            self._act(kind, body)
        out, self._out = b"".join(self._out), []
        return out

    def _act(self, kind: int, body: bytes) -> None:
        if self.copy is not None:
            self._act_in_copy(kind, body)
        elif kind == messages.SYNC:
            self.is_skipping = False
            self._ready()
        elif self.is_skipping or kind in (messages.FLUSH, messages.COPY_DATA, messages.COPY_DONE, messages.COPY_FAIL):
            pass
        elif kind == messages.QUERY:
            self.statements.pop(b"", None)
            self.portal = None
            self._run(body[:-1], "simple")
            if self.copy is None:
                self._ready()
        elif kind == messages.PARSE:
            self._parse(*body.split(b"\0")[:2])
        elif kind == messages.BIND:
            self._bind(body.split(b"\0")[1])
        elif kind == messages.DESCRIBE:
            self._describe(body)
        elif kind == messages.EXECUTE:
            self._execute()
        elif kind == messages.CLOSE:
            if body[:1] == b"S":
                self.statements.pop(body[1:-1], None)
            self._out.append(message(messages.CLOSE_COMPLETE))
        else:
            raise AssertionError(kind)

    def _act_in_copy(self, kind: int, body: bytes) -> None:
        if kind in (messages.SYNC, messages.FLUSH, messages.COPY_DATA):
            if kind == messages.COPY_DATA and body == b"wrong":
                self._end_copy(is_ok=False)
            return
        self._end_copy(is_ok=kind == messages.COPY_DONE)

    def _end_copy(self, *, is_ok: bool) -> None:
        mode, self.copy = self.copy, None
        if is_ok:
            self._out.append(message(messages.COMMAND_COMPLETE, b"COPY 1\0"))
        else:
            self._fail("22P04", is_extended=mode == "extended")
        if mode == "simple":
            self._ready()

    def _ready(self) -> None:
        if self.status == messages.IDLE:
            self.portal = None
        self._out.append(messages.ready_for_query(self.status))

    def _fail(self, sqlstate: str, *, is_extended: bool = True) -> None:
        self._out.append(error(sqlstate))
        self.is_skipping = is_extended
        if self.status == messages.IN_TRANSACTION:
            self.status = messages.FAILED

    def _parse(self, name: bytes, text: bytes) -> None:
        if not name:
            self.statements.pop(b"", None)
        if text.startswith(b"bad"):
            self._fail("42601")
        elif self.status == messages.FAILED and text and text != b"commit":
            self._fail("25P02")
        elif name and name in self.statements:
            self._fail("42P05")
        else:
            self.statements[name] = text
            self._out.append(message(messages.PARSE_COMPLETE))

    def _bind(self, name: bytes) -> None:
        if name not in self.statements:
            self._fail("26000")
            return
        self.portal = self.statements[name]
        self._out.append(message(messages.BIND_COMPLETE))

    def _describe(self, body: bytes) -> None:
        if body[:1] == b"S" and body[1:-1] not in self.statements:
            self._fail("26000")
            return
        self._out.append(message(messages.NO_DATA))

    def _execute(self) -> None:
        if self.portal is None:
            self._fail("34000")
        elif not self.portal:
            self._out.append(message(messages.EMPTY_QUERY))
        else:
            self._run(self.portal, "extended")

    def _run(self, text: bytes, mode: str) -> None:
        tag = text
        if not text:
            self._out.append(message(messages.EMPTY_QUERY))
            return
        if text == b"commit":
            self.status = messages.IDLE
        elif self.status == messages.FAILED:
            self._fail("25P02", is_extended=mode == "extended")
            return
        elif text.startswith((b"bad", b"fail")):
            self._fail("42601", is_extended=mode == "extended")
            return
        elif text == b"begin":
            self.status = messages.IN_TRANSACTION
        elif text == b"copy":
            self.copy = mode
            self._out.append(COPY_IN_RESPONSE)
            return
        elif text == b"DEALLOCATE ALL":
            self.statements = {name: kept for name, kept in self.statements.items() if not name}
        elif text.startswith(b"DEALLOCATE "):
            if self.statements.pop(text[len(b"DEALLOCATE ") :], None) is None:
                self._fail("26000", is_extended=mode == "extended")
                return
            tag = b"DEALLOCATE"
        self._out.append(
            message(messages.DATA_ROW, b"\0\1" + len(text).to_bytes(4, "big") + text) if tag == text else b""
        )
        self._out.append(message(messages.COMMAND_COMPLETE, tag + b"\0"))

"""Prepared statements of the protocol: what a session has prepared, and what a backend holds.

Sessions share the statements of a backend under names that follow from what was prepared: the text, the parameter
types, and the session state that gives the text its meaning. A session's own name never reaches Postgres, and what a
backend lacks is prepared there when it is first needed. Promises: what one session prepared never answers for a
statement that another session would have understood differently; both sides are bounded. Pure.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

from borealis.front.messages import HEADER_BYTES, PARSE, message, name_end

_NAME_PREFIX: Final = b"borealis_"
VOID_STATEMENT: Final = b"borealis_void"
"""An empty statement, prepared where a session's DEALLOCATE needs something to drop."""


class Statement:
    """A text with its parameter types, as the body of a Parse without the name. One object for all sessions."""

    __slots__ = ("__weakref__", "_meaning", "_named", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._meaning = b""
        self._named = b""

    def name(self, meaning: bytes) -> bytes:
        """What a backend calls it, prepared under this session state."""
        if meaning != self._meaning or not self._named:
            digest = blake2b(digest_size=20)
            # The length keeps the two parts apart.
            digest.update(len(meaning).to_bytes(4, "big") + meaning + self.body)
            self._meaning, self._named = meaning, _NAME_PREFIX + digest.hexdigest().encode()
        return self._named

    def parse_message(self, name: bytes) -> bytes:
        return message(PARSE, name + b"\0" + self.body)


class StatementTexts:
    """Makes sessions that prepare the same text share it."""

    def __init__(self) -> None:
        self._statements: WeakValueDictionary[bytes, Statement] = WeakValueDictionary()

    def take(self, parse: bytes, name_bytes: int) -> Statement:
        """Of a whole Parse message whose name has this length."""
        body = parse[HEADER_BYTES + name_bytes + 1 :]
        statement = self._statements.get(body)
        if statement is None:
            statement = self._statements[body] = Statement(body)
        return statement


class UnnamedStatement:
    """The one without a name: the Parse that made it, to make it again on another backend. Compared by identity."""

    __slots__ = ("parse",)

    def __init__(self, parse: bytes) -> None:
        self.parse = parse


class SessionStatements:
    """What one session has prepared."""

    __slots__ = ("_bytes", "_named", "unnamed")

    def __init__(self) -> None:
        self._named: dict[bytes, Statement] | None = None
        self._bytes = 0
        self.unnamed: UnnamedStatement | None = None

    def __len__(self) -> int:
        return len(self._named) if self._named else 0

    @property
    def text_bytes(self) -> int:
        return self._bytes

    def get(self, name: bytes) -> Statement | None:
        return self._named.get(name) if self._named else None

    def add(self, name: bytes, statement: Statement) -> None:
        if self._named is None:
            self._named = {}
        assert name not in self._named
        self._named[name] = statement
        self._bytes += len(statement.body) + len(name)

    def remove(self, name: bytes) -> Statement | None:
        statement = self._named.pop(name, None) if self._named else None
        if statement is not None:
            self._bytes -= len(statement.body) + len(name)
            if not self._named:
                self._named = None
        return statement

    def clear(self) -> None:
        self._named = None
        self._bytes = 0


class BackendStatements:
    """The shared statements of one backend by name, least recently used first; and whose unnamed statement it has."""

    __slots__ = ("_maximum", "_names", "unnamed")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._names: dict[bytes, None] = {}
        self.unnamed: UnnamedStatement | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._names)

    def use(self, name: bytes) -> bool:
        """Whether it is there; it counts as used then."""
        if name not in self._names:
            return False
        # Moves to the end.
        del self._names[name]
        self._names[name] = None
        return True

    def add(self, name: bytes) -> bytes | None:
        """The one that has to be closed for it, if any."""
        evicted = None
        if len(self._names) >= self._maximum:
            evicted = next(iter(self._names))
            del self._names[evicted]
        self._names[name] = None
        return evicted

    def discard(self, name: bytes) -> None:
        self._names.pop(name, None)

    def restore(self, name: bytes) -> None:
        """It was not closed after all; nothing is evicted for it."""
        self._names[name] = None

    def clear(self) -> None:
        self._names.clear()


def statement_name_of_parse(parse: bytes) -> bytes:
    return parse[HEADER_BYTES : name_end(parse, HEADER_BYTES)]

"""What follows a session from backend to backend: its settings, as the extension exports them, and what was reported.

Equal values are one object, so that "is it the same" costs nothing on the way of each query, and thousands of sessions
of one application share what they have in common. Pure.
"""

import struct
from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

from borealis.front.login import Settings

_COUNT: Final = struct.Struct("<I")
_MEANING: Final = struct.Struct("<I")
_MEANING_BYTES_AT: Final = 20
_MEANING_AT: Final = 24


class LoginSettings:
    """The plain settings of a login (`login.Settings`), as the extension reads them. Compared by identity."""

    __slots__ = ("__weakref__", "blob", "meaning")

    def __init__(self, settings: Settings) -> None:
        strings = [text.encode() for pair in settings for text in pair]
        self.blob = _COUNT.pack(len(settings)) + b"".join(_COUNT.pack(len(text)) + text for text in strings)
        # What a client calls itself gives no text another meaning.
        meaningful = [pair for pair in settings if pair[0] != "application_name"]
        self.meaning = blake2b(repr(meaningful).encode(), digest_size=20).digest() if meaningful else b""


class SessionState:
    """The login's settings, and an export (docs/formats.md, "Session state"). Compared by identity: take it from
    `SessionStates`."""

    __slots__ = ("__weakref__", "blob", "login", "meaning")

    def __init__(self, login: LoginSettings, blob: bytes) -> None:
        self.login = login
        self.blob = blob
        self.meaning = login.meaning + _meaning(blob)
        """Short, and the same for states under which every text means the same."""


def _meaning(blob: bytes) -> bytes:
    if len(blob) < _MEANING_AT:
        return b""
    (length,) = _MEANING.unpack_from(blob, _MEANING_BYTES_AT)
    return blake2b(blob[_MEANING_AT : _MEANING_AT + length], digest_size=20).digest()


def meaning_number(report: bytes) -> bytes:
    """The part of a report that changes when texts may have got another meaning."""
    return report.partition(b".")[0]


class SessionStates:
    def __init__(self) -> None:
        self.bare: Final = LoginSettings(())
        """Of a login without any."""
        self._logins: WeakValueDictionary[Settings, LoginSettings] = WeakValueDictionary()
        self._logins[()] = self.bare
        self.blank: Final = SessionState(self.bare, b"")
        """That of a session which brought nothing and has changed nothing."""
        self._states: WeakValueDictionary[tuple[LoginSettings, bytes], SessionState] = WeakValueDictionary(
            {(self.bare, b""): self.blank}
        )

    def begin(self, settings: Settings) -> SessionState:
        """The one in which a session begins that has logged in with these."""
        login = self._logins.get(settings)
        if login is None:
            login = self._logins[settings] = LoginSettings(settings)
        return self.intern(login, b"")

    def intern(self, login: LoginSettings, blob: bytes) -> SessionState:
        key = (login, blob)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = SessionState(login, blob)
        return state


class Parameters:
    """What a backend reports about its settings (ParameterStatus). Compared by identity, never changed."""

    __slots__ = ("__weakref__", "values")

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self.values = values

    def differing(self, told: "Parameters") -> list[tuple[bytes, bytes]]:
        """What somebody who was told the other ones has to be told."""
        return [(name, value) for name, value in self.values.items() if told.values.get(name) != value]


class ParameterSets:
    def __init__(self) -> None:
        self._sets: WeakValueDictionary[tuple[tuple[bytes, bytes], ...], Parameters] = WeakValueDictionary()

    def intern(self, values: dict[bytes, bytes]) -> Parameters:
        key = tuple(sorted(values.items()))
        parameters = self._sets.get(key)
        if parameters is None:
            parameters = self._sets[key] = Parameters(values)
        return parameters

    def changed(self, parameters: Parameters, name: bytes, value: bytes) -> Parameters:
        return self.intern({**parameters.values, name: value})

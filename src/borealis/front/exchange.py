"""What a session and the backend that serves it owe each other: requests under way, replies that answer them.

Owns the order of both streams. Promises: every reply reaches the session that asked for it, what was put in between for
prepared statements does not, and `is_idle` is true only when the backend holds nothing of the session any more:
nothing unanswered, no transaction, no half message, no error that it still skips requests for. Pure: bytes in, bytes
out, in both directions. Assumes that requests come from a `RequestReader`.
"""

import itertools
import re
from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from borealis.front import messages
from borealis.front.messages import (
    BIND,
    CALL,
    CLOSE,
    CLOSE_COMPLETE,
    COMMAND_COMPLETE,
    CONTINUATION,
    COPY_DATA,
    COPY_DONE,
    COPY_FAIL,
    DATA_ROW,
    DESCRIBE,
    EMPTY_QUERY,
    EXECUTE,
    FLUSH,
    HEADER,
    HEADER_BYTES,
    IDLE,
    NO_DATA,
    PARSE,
    PARSE_COMPLETE,
    PIECE_BYTES,
    QUERY,
    READY,
    ROW_DESCRIPTION,
    SUSPENDED,
    SYNC,
    ProtocolViolation,
    Request,
    close_statement,
    name_end,
    parse_message,
)
from borealis.front.session_state import ParameterSets, meaning_number
from borealis.front.settings import FrontSettings
from borealis.front.statements import (
    VOID_STATEMENT,
    BackendStatements,
    SessionStatements,
    Statement,
    StatementTexts,
    UnnamedStatement,
)

STATE_PARAMETER: Final = b"borealis.session_state"
UNNAMED_BYTES_MAX: Final = 32 * 1024
"""A larger unnamed statement is not made again on another backend: it is gone with the batch that it came in."""

# What gives the text of a statement its meaning when it is prepared, and is not covered by its being prepared anew.
_MEANINGFUL: Final = (b"DateStyle", b"IntervalStyle", b"TimeZone", b"client_encoding", b"standard_conforming_strings")

_PING: Final = 256
"""An empty query of ours, behind requests of which nobody knows how many are answered."""
# Sets, because they are looked up for each message.
_PASSED_ON: Final = frozenset((CONTINUATION, COPY_DATA, FLUSH))
_COPY_ENDS: Final = frozenset((COPY_DONE, COPY_FAIL))
_ROWS: Final = frozenset((DATA_ROW, COPY_DATA))
_DESCRIPTIONS: Final = frozenset((ROW_DESCRIPTION, NO_DATA))
_ENDS_OF_ROWS: Final = frozenset((EMPTY_QUERY, SUSPENDED))
_BOOKED: Final = {PARSE_COMPLETE: PARSE, CLOSE_COMPLETE: CLOSE}
_ENDS_WITH_READY: Final = frozenset((QUERY, SYNC, CALL))
_EMPTY_PARSE: Final = parse_message(b"", b"")
_DEALLOCATE: Final = re.compile(rb'\s*DEALLOCATE\s+(?:PREPARE\s+)?(?:"([^"]+)"|(\w+))\s*;?\s*', re.IGNORECASE)
_DEALLOCATE_BYTES_MAX: Final = 200
_PRIVATE_STATES: Final = itertools.count(1)


class Booking:
    """A Parse or Close under way whose effect is booked already, so that what follows it can count on it.

    `name` is the session's, `holds` and `releases` are the backend's; `unnamed` instead of them."""

    __slots__ = ("holds", "is_injected", "kind", "name", "releases", "statement", "unnamed")

    def __init__(
        self,
        kind: int,
        *,
        is_injected: bool = False,
        name: bytes = b"",
        statement: Statement | None = None,
        holds: bytes = b"",
        releases: bytes = b"",
        unnamed: UnnamedStatement | None = None,
    ) -> None:
        self.kind = kind
        self.is_injected = is_injected
        self.name = name
        self.statement = statement
        self.holds = holds
        self.releases = releases
        self.unnamed = unnamed


Outstanding: TypeAlias = int | Booking


class Exchange:
    """Lives as long as its backend; `begin` gives it another session."""

    __slots__ = (
        "_ambiguous",
        "_copy_is_open",
        "_copying",
        "_dropped_syncs",
        "_has_copied",
        "_has_deallocated",
        "_has_flushed",
        "_held",
        "_is_skipping",
        "_is_unsynced",
        "_meaning",
        "_outstanding",
        "_ping_is_answered",
        "_session",
        "_sets",
        "_settings",
        "_state",
        "_texts",
        "_to_come",
        "_unnamed_before",
        "began_with_nothing_unread",
        "has_private_statements",
        "is_fatal",
        "is_spent",
        "parameters",
        "state_report",
        "statements",
        "status",
    )

    def __init__(self, settings: FrontSettings, texts: StatementTexts, sets: ParameterSets) -> None:
        self._settings = settings
        self._texts = texts
        self._sets = sets
        self.parameters = sets.intern({})
        """What the backend last reported."""
        self.state_report = b""
        """The same about its session state, which is not the client's business."""
        self.statements = BackendStatements(settings.statements_per_backend_max)
        self.status = IDLE
        self.is_fatal = False
        """The backend has announced its end."""
        self.is_spent = False
        """Something was left in the backend that no other session may meet."""
        self.has_private_statements = False
        """The session has statements that only this backend has: they must stay together, and then end together."""
        self._outstanding: deque[Outstanding] = deque()
        self._held = b""
        self._to_come = 0
        self._is_skipping = False
        self._is_unsynced = False
        self._copying = self._copy_is_open = self._dropped_syncs = False
        self._ambiguous = self._ping_is_answered = False
        self._session = SessionStatements()
        self._unnamed_before: UnnamedStatement | None = None
        self._has_deallocated = False
        self._has_copied = self._has_flushed = False
        self.began_with_nothing_unread = True
        """Not even what Postgres reads and ignores, such as the rest of a COPY that had failed."""
        self._state = b""
        self._meaning: bytes | None = None

    def begin(self, session: SessionStatements, state_meaning: bytes) -> None:
        """Serve this session, whose state the backend has."""
        self._session = session
        self._unnamed_before = session.unnamed
        self._has_deallocated = False
        self.began_with_nothing_unread = not (self._has_flushed or self._has_copied)
        if state_meaning != self._state:
            self._state = state_meaning
            self._meaning = None

    @property
    def is_idle(self) -> bool:
        """Nothing of the session is in the backend but its state. Whether the session itself is within a message is
        for its reader to say."""
        return (
            self.status == IDLE
            and not self._outstanding
            and not self._is_unsynced
            and not self._is_skipping
            and not self._to_come
            and not self._held
        )

    @property
    def is_answering(self) -> bool:
        """Something has been asked that is not answered."""
        return bool(self._outstanding) or self._is_unsynced or bool(self._to_come) or bool(self._held)

    @property
    def is_within_reply(self) -> bool:
        """The session has got the beginning of a message and not its end."""
        return self._to_come > 0

    @property
    def comes_to_rest(self) -> bool:
        """Everything asked for will be answered without another word of the session."""
        return not self._is_unsynced and not self._copying and not self._is_skipping and not self._ambiguous

    @property
    def is_coming_to_rest(self) -> bool:
        """There are answers to come, and they need nothing but time."""
        return self.is_answering and self.comes_to_rest

    @property
    def can_be_asked(self) -> bool:
        """A request of ours would be answered, whatever the session left behind."""
        return not self._is_skipping and not self._ambiguous

    def settle(self) -> bytes:
        """To be sent when idle, if anything: it makes sure that no reply is still to come."""
        if not self._ambiguous:
            return b""
        self._ambiguous = False
        self._ping_is_answered = False
        self._outstanding.append(_PING)
        return messages.query("")

    def end(self) -> None:
        """The session leaves; it is idle."""
        unnamed = self._session.unnamed
        if unnamed is not None and not unnamed.parse:
            self._session.unnamed = None

    def take_back(self) -> bool:
        """The backend is gone and has certainly read nothing since `begin`: the session is as it was then, to ask
        somebody else. False if that cannot be."""
        if self._has_deallocated:
            return False
        self._undo_all(list(self._outstanding))
        self._outstanding.clear()
        self._session.unnamed = self._unnamed_before
        return True

    def note_parameter(self, name: bytes, value: bytes) -> None:
        """The backend has reported it."""
        if name == STATE_PARAMETER:
            if meaning_number(value) != meaning_number(self.state_report):
                self._state = b"%d" % next(_PRIVATE_STATES)
                self._meaning = None
            self.state_report = value
            return
        self.parameters = self._sets.changed(self.parameters, name, value)
        if name in _MEANINGFUL:
            self._meaning = None

    # From the session.

    def request(self, requests: Iterable[Request]) -> bytes:
        """What to send to the backend for them. Raises ProtocolViolation."""
        out: list[bytes] = []
        for kind, octets in requests:
            if kind in _PASSED_ON:
                if kind == FLUSH:
                    self._has_flushed = True
                elif kind == COPY_DATA:
                    self._has_copied = True
                out.append(octets)
            elif self._is_skipping and kind != SYNC:
                out.append(octets)  # Postgres ignores it
            elif self._copy_is_open:
                self._request_within_copy(kind)
                out.append(octets)
            elif kind == QUERY:
                self._request_query(octets, out)
            elif kind == SYNC:
                self._is_unsynced = self._has_flushed = False
                self._outstanding.append(SYNC)
                out.append(octets)
            elif kind == CALL:
                self._outstanding.append(CALL)
                out.append(octets)
            elif kind in _COPY_ENDS:
                self._has_copied = True
                if self._outstanding:
                    self._outstanding.append(COPY_DONE)
                out.append(octets)
            else:
                self._is_unsynced = True
                self._request_extended(kind, octets, out)
        return out[0] if len(out) == 1 else b"".join(out)

    def _request_within_copy(self, kind: int) -> None:
        """Postgres ignores Sync while it waits for the data of a COPY; anything else ends the COPY with an error."""
        if kind == SYNC:
            self._dropped_syncs = True
        elif kind in _COPY_ENDS:
            self._has_copied = True
            self._copy_is_open = False
            self._outstanding.append(COPY_DONE)
        else:
            self._ambiguous = True

    def _request_query(self, octets: bytes, out: list[bytes]) -> None:
        self._is_unsynced = self._has_flushed = False
        # A simple query drops the unnamed statement.
        self._session.unnamed = self.statements.unnamed = None
        if len(self._session) and len(octets) < _DEALLOCATE_BYTES_MAX and self._deallocates(octets[HEADER_BYTES:-1]):
            self._make_void(out)
            octets = messages.message(QUERY, b"DEALLOCATE %s\0" % VOID_STATEMENT)
        self._outstanding.append(QUERY)
        out.append(octets)

    def _deallocates(self, text: bytes) -> bool:
        """Whether this drops a statement of the protocol; it is dropped then."""
        match = _DEALLOCATE.fullmatch(text)
        if match is None:
            return False
        quoted, bare = match.groups()
        name = quoted or bare.lower()
        if self._session.get(name) is None:
            return False
        if self.status != messages.FAILED:
            self._session.remove(name)
            self._has_deallocated = True
        return True

    def _make_void(self, out: list[bytes]) -> None:
        """An empty statement for the session's DEALLOCATE to drop, and to fail where it would."""
        self._inject(close_statement(VOID_STATEMENT), Booking(CLOSE, is_injected=True), out)
        self._inject(parse_message(VOID_STATEMENT, b""), Booking(PARSE, is_injected=True), out)

    def _inject(self, octets: bytes, booking: Booking, out: list[bytes]) -> None:
        out.append(octets)
        self._outstanding.append(booking)

    def _request_extended(self, kind: int, octets: bytes, out: list[bytes]) -> None:
        if kind == EXECUTE:
            self._outstanding.append(EXECUTE)
            out.append(octets)
        elif kind == BIND:
            at = name_end(octets, HEADER_BYTES) + 1
            octets = self._named_in_backend(octets, at, out)
            self._outstanding.append(BIND)
            out.append(octets)
        elif kind == PARSE:
            self._request_parse(octets, out)
        elif kind == DESCRIBE:
            if _names_statement(octets):
                octets = self._named_in_backend(octets, HEADER_BYTES + 1, out)
            self._outstanding.append(DESCRIBE)
            out.append(octets)
        elif kind == CLOSE:
            self._request_close(octets, out)
        else:
            raise ProtocolViolation(f"invalid frontend message type {kind}")

    def _named_in_backend(self, octets: bytes, at: int, out: list[bytes]) -> bytes:
        """With the name of a statement at this offset replaced by the backend's, once the backend has it."""
        end = name_end(octets, at)
        if end == at:
            self._provide_unnamed(out)
            return octets
        statement = self._session.get(octets[at:end])
        if statement is None:
            return octets
        name = statement.name(self._meaning_now())
        if not self.statements.use(name):
            self._prepare(statement, name, Booking(PARSE, is_injected=True, holds=name), out)
        return _renamed(octets, at, end, name)

    def _provide_unnamed(self, out: list[bytes]) -> None:
        unnamed = self._session.unnamed
        if unnamed is not None and unnamed is self.statements.unnamed:
            return
        if unnamed is not None and unnamed.parse:
            self._inject(unnamed.parse, Booking(PARSE, is_injected=True, unnamed=unnamed), out)
            self.statements.unnamed = unnamed
        else:
            # Whatever is there is somebody else's; without it Postgres says what has to be said.
            self._inject(close_statement(b""), Booking(CLOSE, is_injected=True), out)

    def _prepare(self, statement: Statement, name: bytes, booking: Booking, out: list[bytes]) -> None:
        evicted = self.statements.add(name)
        if evicted is not None:
            self._inject(close_statement(evicted), Booking(CLOSE, is_injected=True, releases=evicted), out)
        self._inject(statement.parse_message(name), booking, out)

    def _request_parse(self, octets: bytes, out: list[bytes]) -> None:
        end = name_end(octets, HEADER_BYTES)
        name = octets[HEADER_BYTES:end]
        is_whole = len(octets) == 1 + HEADER.unpack_from(octets)[1]
        if is_whole and len(self._session) and len(octets) < _DEALLOCATE_BYTES_MAX:
            text_end = name_end(octets, end + 1)
            if self._deallocates(octets[end + 1 : text_end]):
                self._make_void(out)
                octets = _renamed(octets, end + 1, text_end, b"DEALLOCATE " + VOID_STATEMENT)
        if not name:
            unnamed = UnnamedStatement(octets if is_whole and len(octets) <= UNNAMED_BYTES_MAX else b"")
            self._session.unnamed = self.statements.unnamed = unnamed
            self._inject(octets, Booking(PARSE, unnamed=unnamed), out)
        elif self._session.get(name) is not None:
            # Postgres says what it says about a name that is taken, because it is: by an empty statement.
            self.is_spent = True
            self._inject(close_statement(name), Booking(CLOSE, is_injected=True), out)
            self._inject(parse_message(name, b""), Booking(PARSE, is_injected=True), out)
            self._inject(octets, Booking(PARSE), out)
        elif not is_whole or not self._has_room_for(octets):
            self.has_private_statements = True
            self._inject(octets, Booking(PARSE), out)
        else:
            self._parse_shared(name, self._texts.take(octets, len(name)), out)

    def _has_room_for(self, octets: bytes) -> bool:
        settings, session = self._settings, self._session
        return (
            len(session) < settings.statements_per_session_max
            and session.text_bytes + len(octets) <= settings.statement_bytes_per_session_max
        )

    def _parse_shared(self, name: bytes, statement: Statement, out: list[bytes]) -> None:
        self._session.add(name, statement)
        shared = statement.name(self._meaning_now())
        booking = Booking(PARSE, name=name, statement=statement, holds=shared)
        if not self.statements.use(shared):
            self._prepare(statement, shared, booking, out)
        elif self._is_unconfirmed(shared):
            self._inject(close_statement(shared), Booking(CLOSE, is_injected=True, releases=shared), out)
            self._inject(statement.parse_message(shared), booking, out)
        else:
            # The backend has it: something has to be answered in its place. That replaces the unnamed statement.
            booking.holds = b""
            self.statements.unnamed = None
            self._inject(_EMPTY_PARSE, booking, out)

    def _is_unconfirmed(self, shared: bytes) -> bool:
        return any(isinstance(entry, Booking) and entry.holds == shared for entry in self._outstanding)

    def _request_close(self, octets: bytes, out: list[bytes]) -> None:
        booking = Booking(CLOSE)
        if _names_statement(octets):
            name = octets[HEADER_BYTES + 1 : name_end(octets, HEADER_BYTES + 1)]
            if not name:
                booking.unnamed = self._session.unnamed
                self._session.unnamed = self.statements.unnamed = None
            elif (statement := self._session.remove(name)) is not None:
                # The backend keeps it for others.
                booking.name, booking.statement = name, statement
                octets = close_statement(VOID_STATEMENT)
        self._inject(octets, booking, out)

    def _meaning_now(self) -> bytes:
        if self._meaning is None:
            reported = self.parameters.values
            self._meaning = b"\0".join((self._state, *(reported.get(name, b"") for name in _MEANINGFUL)))
        return self._meaning

    # From the backend.

    def reply(self, data: bytes) -> bytes:
        """What of it to send to the session. Raises ProtocolViolation if the backend has lost its mind."""
        at = 0
        if self._to_come:
            at = min(self._to_come, len(data))
            self._to_come -= at
            if at == len(data):
                return data
        elif self._held:
            data = self._held + data
            self._held = b""
        size, shown_from = len(data), 0
        shown: list[bytes] = []
        while size - at >= HEADER_BYTES:
            kind, length = HEADER.unpack_from(data, at)
            end = at + 1 + length
            if length < 4:
                raise ProtocolViolation("the backend sent an invalid message length")
            is_row = kind in _ROWS
            if end > size:
                if not is_row and size - at < PIECE_BYTES:
                    break
                self._to_come = end - size
                end = size
            if not is_row and self._is_hidden(kind, data, at, end):
                shown.append(data[shown_from:at])
                shown_from = end
            at = end
        if at == size:
            if not shown_from:
                return data
            shown.append(data[shown_from:])
        else:
            self._held = data[at:]
            shown.append(data[shown_from:at])
        return b"".join(shown)

    def _is_hidden(self, kind: int, data: bytes, at: int, end: int) -> bool:
        """Takes note of a message. True if the session has not asked for it."""
        if kind == READY:
            return self._note_ready(data[at + HEADER_BYTES])
        head = self._head()
        if kind == COMMAND_COMPLETE:
            if self._copying:
                self._end_copy()
            if head == EXECUTE:
                self._outstanding.popleft()
            if data.startswith((b"DEALLOCATE ALL\0", b"DISCARD ALL\0"), at + HEADER_BYTES):
                self._forget_statements()
        elif kind in _DESCRIPTIONS:
            if head == DESCRIBE:
                self._outstanding.popleft()
        elif kind == messages.BIND_COMPLETE:
            self._expect(head, BIND)
        elif kind in _BOOKED:
            return self._note_booked(head, _BOOKED[kind])
        elif kind in _ENDS_OF_ROWS:
            if head == EXECUTE:
                self._outstanding.popleft()
            elif head == _PING:
                self._ping_is_answered = True
                return True
        elif kind == messages.ERROR:
            self._note_error(head, data[at:end])
        elif kind == messages.PARAMETER_STATUS:
            return self._note_parameter_status(data[at + HEADER_BYTES : end])
        elif kind == messages.COPY_IN:
            self._begin_copy()
        return False

    def _head(self) -> Outstanding | None:
        """What is being answered. The end of data that nobody waits for is not."""
        outstanding = self._outstanding
        while outstanding:
            head = outstanding[0]
            if head != COPY_DONE:
                return head
            outstanding.popleft()
        return None

    def _expect(self, head: Outstanding | None, kind: int) -> None:
        if head != kind:
            raise ProtocolViolation("the backend answered what was not asked")
        self._outstanding.popleft()

    def _note_booked(self, head: Outstanding | None, kind: int) -> bool:
        if not isinstance(head, Booking) or head.kind != kind:
            raise ProtocolViolation("the backend answered what was not asked")
        self._outstanding.popleft()
        return head.is_injected

    def _note_ready(self, status: int) -> bool:
        head = self._head()
        if head == _PING and self._ping_is_answered:
            self._outstanding.popleft()
            return True
        self.status = status
        was_skipping, self._is_skipping = self._is_skipping, False
        if head in _ENDS_WITH_READY:
            self._outstanding.popleft()
            self._head()
        elif was_skipping or self._ambiguous or head == _PING:
            self._is_unsynced = False  # for a Sync that we thought ignored
        else:
            raise ProtocolViolation("the backend answered what was not asked")
        return False

    def _note_error(self, head: Outstanding | None, octets: bytes) -> None:
        if b"\0VFATAL\0" in octets or b"\0VPANIC\0" in octets:
            self.is_fatal = True
        if self._copying:
            # A Sync that Postgres has not read yet, and we thought ignored, will be answered after all.
            self._ambiguous = self._ambiguous or self._dropped_syncs
            self._copying = self._copy_is_open = self._dropped_syncs = False
        if head is None or (isinstance(head, int) and (head in _ENDS_WITH_READY or head == _PING)):
            return
        # In the extended protocol everything up to the next Sync is skipped.
        skipped: list[Outstanding] = []
        while self._outstanding and self._outstanding[0] != SYNC:
            skipped.append(self._outstanding.popleft())
        self._undo_all(skipped)
        self._is_skipping = not self._outstanding

    def _undo_all(self, entries: list[Outstanding]) -> None:
        for entry in reversed(entries):
            if isinstance(entry, Booking):
                self._undo(entry)

    def _undo(self, booking: Booking) -> None:
        """What was booked for it did not happen."""
        session, backend = self._session, self.statements
        if booking.kind == PARSE:
            if booking.holds:
                backend.discard(booking.holds)
            if booking.name and session.get(booking.name) is booking.statement:
                session.remove(booking.name)
            if booking.unnamed is not None:
                backend.unnamed = None
                if session.unnamed is booking.unnamed and not booking.is_injected:
                    session.unnamed = None
        else:
            if booking.releases:
                backend.restore(booking.releases)
            if booking.statement is not None and session.get(booking.name) is None:
                session.add(booking.name, booking.statement)
            if session.unnamed is None:
                session.unnamed = booking.unnamed

    def _forget_statements(self) -> None:
        """The backend has dropped them all, but for those that are to be prepared after that."""
        self._session.clear()
        self.statements.clear()
        for entry in self._outstanding:
            if isinstance(entry, Booking) and entry.kind == PARSE:
                if entry.holds:
                    self.statements.restore(entry.holds)
                if entry.statement is not None and self._session.get(entry.name) is None:
                    self._session.add(entry.name, entry.statement)

    def _note_parameter_status(self, octets: bytes) -> bool:
        name, _, value = octets.partition(b"\0")
        self.note_parameter(name, value.rstrip(b"\0"))
        return name == STATE_PARAMETER

    def _begin_copy(self) -> None:
        """Postgres ignores the Syncs that it meets before the end of the data."""
        self._copying = True
        entries = list(self._outstanding)
        ends = entries.index(COPY_DONE) if COPY_DONE in entries else len(entries)
        met = [entry for entry in entries[1:ends] if entry != SYNC]
        self._dropped_syncs = 1 + len(met) < ends
        self._copy_is_open = ends == len(entries)
        if met:
            self._ambiguous = True  # whatever stands there ends the COPY with an error
            self._undo_all(met)
        self._outstanding = deque(entries[:1] + entries[ends:])

    def _end_copy(self) -> None:
        self._copying = self._copy_is_open = self._dropped_syncs = False
        if COPY_DONE in self._outstanding:
            self._outstanding.remove(COPY_DONE)


def _names_statement(octets: bytes) -> bool:
    return octets[HEADER_BYTES : HEADER_BYTES + 1] == b"S"


def _renamed(octets: bytes, at: int, end: int, name: bytes) -> bytes:
    """With the text from `at` to `end` replaced."""
    kind, length = HEADER.unpack_from(octets)
    header = HEADER.pack(kind, length + len(name) - (end - at))
    return b"".join((header, octets[HEADER_BYTES:at], name, octets[end:]))

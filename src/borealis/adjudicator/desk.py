"""The commit desk: the connections of query processors on the commit socket, in C (transaction_library/desk.h).

Transactions never come to Python: they are read, checked, queued, decided and answered there. What Python answers comes
out of `receive` and `turn`: questions about outcomes, and calls on sequences.
"""

import ctypes
import logging
import os
import socket
from collections.abc import Callable
from ctypes import c_int
from enum import IntEnum
from typing import Final, NamedTuple, NewType

from borealis.adjudicator import library as c
from borealis.adjudicator.core import Core
from borealis.adjudicator.effects import LocalEffects
from borealis.foundation.errors import InvariantViolation, Malformed, Reason
from borealis.foundation.identifiers import (
    NANOSECONDS_PER_SECOND,
    NO_TIMESTAMP,
    U64_MAX,
    Epoch,
    Position,
    Timestamp,
)
from borealis.wire.commit_messages import (
    Answer,
    CommitFrame,
    OutcomeQuery,
    Refused,
    SequenceCall,
    decode_outcome_query,
    decode_sequence_call,
    encode_answer,
    encode_error,
)

_log = logging.getLogger("commit")
_string_at: Final = ctypes.string_at
_DISMISSAL: Final = 0

ConnectionId = NewType("ConnectionId", int)
"""Of one connection, and never of another."""


class DeskLimits(NamedTuple):
    transaction_bytes_max: int
    intake_bytes_max: int
    """Bytes of requests that arrive or wait, over all connections; transactions up to 64 KiB do not count."""
    queued_max: int
    """Transactions that wait to be decided."""
    reservation_ns_max: int = 300 * NANOSECONDS_PER_SECOND
    """A reservation of tables ends then, whatever its connection does: no transaction lives longer."""


class TurnEnd(IntEnum):
    """enum tx_turn_end: why a turn is over."""

    DONE = 0
    LONG = 1
    EVENTS = 2
    """To be taken with `take_events`; transactions may wait as well."""
    BEHIND = 3
    ROOM = 4
    DROPPED = 5
    """A group that drops relations is decided and sealed, and is to be completed and answered."""
    FAILED = 6


class Question(NamedTuple):
    """A request that Python answers, with `reply`."""

    connection: ConnectionId
    number: int
    request: OutcomeQuery | SequenceCall


class CommitDesk:
    """Bound to one core, which outlives it. Not for two threads."""

    def __init__(self, core: Core, limits: DeskLimits, library: ctypes.PyDLL = c.library) -> None:
        """Raises OSError."""
        self._core = core
        self._library = library
        self._address: int | None = library.tx_desk_open(core.address, ctypes.byref(c.DeskLimits(*limits)))
        if self._address is None:
            raise OSError("the system refuses a set of descriptors to watch")
        self._state: c.DeskState = library.tx_desk_state(self._address).contents
        self._events_seen = 0

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Nothing else may be called any more."""
        address = getattr(self, "_address", None)
        if address is not None:
            self._address = None
            self._library.tx_desk_close(address)

    @property
    def descriptor(self) -> int:
        """Readable when there is something to receive."""
        return int(self._library.tx_desk_descriptor(self._address))

    @property
    def connections(self) -> int:
        return int(self._state.connections)

    def adopt(self, accepted: socket.socket) -> None:
        """Take over a socket, which is closed if that fails. Raises OSError."""
        problem = self._library.tx_desk_adopt(self._address, accepted.detach())
        if problem:
            raise OSError(problem, os.strerror(problem))

    def receive(self, now: Timestamp) -> list[Question]:
        """Read what has arrived: transactions join the queue, the rest is returned."""
        self._library.tx_desk_receive(self._address, now)
        self._events_seen = 0
        return self.take_events() if self._state.events else []

    def turn(self, effects: LocalEffects, limits: c.TurnLimits, applied: Position, epoch: Epoch) -> TurnEnd:
        """Receive, decide, complete and answer as long as there are only plain transactions to be done at once.

        Raises InvariantViolation if an effect fails.
        """
        problem = c_int()
        self._events_seen = 0
        end = self._library.tx_turn(self._address, effects.journal, limits, applied, epoch, problem)
        effects.check(problem.value)
        return TurnEnd(end)

    def take_events(self) -> list[Question]:
        """What has happened since this was called, or something was received."""
        state = self._state
        questions: list[Question] = []
        for index in range(self._events_seen, state.events):
            event = state.event[index]
            connection, number, kind = ConnectionId(event.connection), event.request, event.type
            payload = _string_at(event.payload, event.length)
            if kind == _DISMISSAL:
                _log.warning("a connection is closed: %s", payload.decode(errors="replace"))
                continue
            request: OutcomeQuery | SequenceCall
            try:
                if kind == CommitFrame.OUTCOME:
                    request = decode_outcome_query(payload)
                else:
                    request = decode_sequence_call(payload)
            except Malformed as error:
                self._dismiss(connection, number, error.text)
            else:
                questions.append(Question(connection, number, request))
        self._events_seen = state.events
        return questions

    def _log_dismissals(self) -> None:
        if self._state.events != self._events_seen:
            self.take_events()

    # The queue

    @property
    def queued(self) -> int:
        """Transactions that wait to be decided, without those that are held."""
        return int(self._state.queued)

    @property
    def held(self) -> int:
        """Transactions that wait because somebody else has reserved a table that they write."""
        return int(self._state.held)

    @property
    def oldest_arrival(self) -> Timestamp | None:
        """Of those that wait."""
        state = self._state
        return Timestamp(state.oldest_arrival) if state.queued else None

    @property
    def oldest_held(self) -> Timestamp | None:
        """The first arrival of those that are held."""
        state = self._state
        return Timestamp(state.oldest_held) if state.held else None

    def release_aged(self, now: Timestamp) -> None:
        """End reservations that are too old; what they held is queued."""
        self._library.tx_desk_release_aged(self._address, now)

    def decidable_bytes(self, bytes_max: int) -> int:
        """What `decide` would add to a batch now, at most."""
        return int(self._library.tx_desk_decidable_bytes(self._address, bytes_max))

    def decide(self, core: Core, bytes_max: int) -> int:
        """Have transactions decided in the core's group, in their order, until the next would go over the bound."""
        if core is not self._core:
            raise InvariantViolation("a desk was asked to have another core decide")
        return int(self._library.tx_desk_decide(self._address, bytes_max))

    # Answers

    def answer(self) -> None:
        """Send the answers to what was decided: it is durable and published."""
        self._library.tx_desk_answer(self._address)
        self._log_dismissals()

    def reply(self, connection: ConnectionId, number: int, answer: Answer) -> None:
        """Answer a question; nothing happens if whoever asked is gone."""
        if type(answer) is Refused and answer.reason is Reason.MALFORMED:
            self._dismiss(connection, number, answer.text)
            return
        frame = encode_answer(number, answer)
        self._library.tx_desk_reply(self._address, connection, frame, len(frame))
        self._log_dismissals()

    def _dismiss(self, connection: ConnectionId, number: int, text: str) -> None:
        _log.warning("a connection is closed: %s", text)
        frame = encode_error(number, Reason.MALFORMED, text)
        self._library.tx_desk_dismiss(self._address, connection, frame, len(frame))

    def refuse(self, refusal: Refused, arrived_at_most: Timestamp | None = None) -> int:
        """Refuse transactions undecided, all or those that have waited since then or longer. Returns how many."""
        return self._refuse(self._library.tx_desk_refuse, refusal, arrived_at_most)

    def refuse_held(self, refusal: Refused, arrived_at_most: Timestamp | None = None) -> int:
        """The same for those that are held."""
        return self._refuse(self._library.tx_desk_refuse_held, refusal, arrived_at_most)

    def _refuse(self, function: Callable[..., int], refusal: Refused, arrived_at_most: Timestamp | None) -> int:
        latest = U64_MAX if arrived_at_most is None else max(arrived_at_most, NO_TIMESTAMP)
        refused = function(self._address, latest, refusal.reason, refusal.text.encode())
        self._log_dismissals()
        return refused

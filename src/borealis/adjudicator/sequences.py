"""Sequences: values handed out to query processors, never the same twice.

Values are reserved in the journal ahead of need; one is handed out only when the reservation that covers it is durable.
After a restart the service goes on behind the last reservation, so that values are skipped, as PostgreSQL skips them
after a crash. A sequence of which the service knows nothing starts where the request says.

Steps are pure: `step` takes a state and returns the answer, the next state, and the reservation that must be durable
before the answer may leave, if any.
"""

from typing import Final, NamedTuple

from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import Relfilenode
from borealis.wire.commit_messages import Refused, SequenceCall, SequenceGrant, SequenceOperation
from borealis.wire.journal_batch import SequenceReservation

RESERVED_AHEAD_MIN: Final = 32


class SequenceState(NamedTuple):
    """`value` is the last one handed out, or the next one to be if not `is_called`.

    Values beyond it and up to `reserved_up_to`, in the direction of `increment`, are durable reservations.
    """

    value: int
    is_called: bool
    reserved_up_to: int
    increment: int


class SequenceStep(NamedTuple):
    answer: SequenceGrant | Refused
    state: SequenceState | None
    """What to remember from now on; None leaves things as they are."""
    reservation: SequenceReservation | None = None


def restored_state(reservation: SequenceReservation) -> SequenceState:
    """What is known after a restart: everything reserved counts as handed out."""
    value = reservation.reserved_up_to
    return SequenceState(value, reservation.is_called, value, increment=0)


def step(state: SequenceState | None, call: SequenceCall) -> SequenceStep:
    if state is None:
        state = SequenceState(call.start, call.start_is_called, call.start, call.increment)
    match call.operation:
        case SequenceOperation.NEXT:
            return _next(state, call)
        case SequenceOperation.SET:
            # as after a restart: values that were handed out before are not taken back any more
            changed = SequenceState(call.value, call.value_is_called, call.value, increment=0)
            reservation = SequenceReservation(call.relfilenode, call.value_is_called, call.value)
            return SequenceStep(SequenceGrant(call.value, 1, call.value_is_called), changed, reservation)
        case SequenceOperation.LOOK:
            return SequenceStep(SequenceGrant(state.value, 1, state.is_called), None)
        case SequenceOperation.GIVE_BACK:
            return _give_back(state, call)


def _next(state: SequenceState, call: SequenceCall) -> SequenceStep:
    increment = call.increment
    limit, other_end = (call.maximum, call.minimum) if increment > 0 else (call.minimum, call.maximum)
    first = state.value + increment if state.is_called else state.value
    left = (limit - first) // increment + 1
    wraps = left <= 0
    if wraps:
        if not call.is_cycling:
            end = "maximum" if increment > 0 else "minimum"
            return SequenceStep(
                Refused(Reason.SEQUENCE_EXHAUSTED, f"the sequence has reached its {end}, {limit}"), None
            )
        first = other_end
        left = (limit - first) // increment + 1
    granted = min(call.wanted, left)
    last = first + (granted - 1) * increment
    answer = SequenceGrant(first, granted, is_called=True)
    ahead = (state.reserved_up_to - last) * (1 if increment > 0 else -1)
    if increment == state.increment and not wraps and state.is_called and ahead >= 0:
        return SequenceStep(answer, SequenceState(last, True, state.reserved_up_to, increment))
    reserved = last + min(max(RESERVED_AHEAD_MIN, granted), left - granted) * increment
    return SequenceStep(
        answer,
        SequenceState(last, True, reserved, increment),
        SequenceReservation(call.relfilenode, True, reserved),
    )


def _give_back(state: SequenceState, call: SequenceCall) -> SequenceStep:
    """Take back the values from `call.value` on, if they are the last ones that were handed out."""
    last = call.value + (call.wanted - 1) * call.increment
    if not state.is_called or state.value != last or state.increment != call.increment:
        return SequenceStep(SequenceGrant(state.value, 0, state.is_called), None)
    value = call.value - call.increment
    return SequenceStep(SequenceGrant(value, call.wanted, True), state._replace(value=value))


class SequenceTable:
    """The states of all sequences, confirmed ones only."""

    def __init__(self) -> None:
        self._states: dict[Relfilenode, SequenceState] = {}

    def find(self, relfilenode: Relfilenode) -> SequenceState | None:
        return self._states.get(relfilenode)

    def change(self, states: dict[Relfilenode, SequenceState]) -> None:
        self._states.update(states)

    def drop(self, relfilenode: Relfilenode) -> None:
        self._states.pop(relfilenode, None)

    def reservations(self) -> list[SequenceReservation]:
        """Everything that a restart must know, for a checkpoint."""
        return [
            SequenceReservation(relfilenode, state.is_called, state.reserved_up_to)
            for relfilenode, state in self._states.items()
        ]

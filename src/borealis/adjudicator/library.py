"""The C library of the commit path (transaction_library/), loaded, with its structures and the types of its functions.

Calls keep the interpreter's lock (PyDLL): letting it go would cost more than most of them take. Those that wait for the
disk let it go.
"""

import ctypes
import os
import sys
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

from borealis.foundation.errors import Unavailable

_SUFFIX: Final = ".dylib" if sys.platform == "darwin" else ".so"
_TEXT_BYTES: Final = 112


class Limits(ctypes.Structure):
    """struct tx_limits"""

    _fields_ = [
        (name, c_uint64)
        for name in (
            "window_bytes_max",
            "generation_bytes_max",
            "generation_span_ns_max",
            "outcome_age_ns_max",
            "outcomes_max",
            "fences_max",
            "transaction_age_ns_max",
        )
    ]


class Answer(ctypes.Structure):
    """struct tx_answer"""

    _fields_ = [
        ("kind", c_uint32),
        ("reason", c_uint32),
        ("timestamp", c_uint64),
        ("catalog_version", c_uint64),
        ("text", c_char * _TEXT_BYTES),
    ]


class State(ctypes.Structure):
    """struct tx_state"""

    _fields_ = [
        (name, c_uint64)
        for name in (
            "acknowledged",
            "schema_version",
            "catalog_version",
            "lease_start",
            "transactions",
            "window_bytes",
            "window_floor",
            "outcomes_since",
            "has_memories",
            "has_fences",
        )
    ]


class Group(ctypes.Structure):
    """struct tx_group"""

    _fields_ = [
        ("transactions", c_uint64),
        ("records", c_uint64),
        ("last_timestamp", c_uint64),
        ("schema_version", c_uint64),
        ("catalog_version", c_uint64),
        ("dropped_count", c_uint64),
        ("dropped", POINTER(c_uint32)),
        ("position", c_uint64),
        ("batch_bytes", c_uint64),
        ("batch", c_void_p),
    ]


class DeskLimits(ctypes.Structure):
    """struct tx_desk_limits"""

    _fields_ = [
        (name, c_uint64) for name in ("transaction_bytes_max", "intake_bytes_max", "queued_max", "reservation_ns_max")
    ]


class Event(ctypes.Structure):
    """struct tx_event"""

    _fields_ = [
        ("connection", c_uint64),
        ("request", c_uint64),
        ("type", c_uint32),
        ("length", c_uint32),
        ("payload", c_void_p),
    ]


class DeskState(ctypes.Structure):
    """struct tx_desk_state"""

    _fields_ = [
        ("queued", c_uint64),
        ("queued_bytes", c_uint64),
        ("oldest_arrival", c_uint64),
        ("held", c_uint64),
        ("oldest_held", c_uint64),
        ("connections", c_uint64),
        ("events", c_uint64),
        ("event", POINTER(Event)),
    ]


Persist: Final = CFUNCTYPE(c_int, c_void_p, c_uint64, c_void_p, c_size_t)
Publish: Final = CFUNCTYPE(c_int, c_void_p, POINTER(State))
Feed: Final = CFUNCTYPE(c_int, c_void_p, c_uint64, c_void_p, c_size_t)


class Effects(ctypes.Structure):
    """struct tx_effects"""

    _fields_ = [("context", c_void_p), ("persist", Persist), ("publish", Publish), ("feed", Feed)]


class Fallen(ctypes.Structure):
    """struct tx_fallen"""

    _fields_ = [("descriptor", c_int32), ("sent", c_uint32), ("position", c_uint64)]


class JournalState(ctypes.Structure):
    """struct tx_journal_state"""

    _fields_ = [("end", c_uint64), ("limit", c_uint64), ("fallen_count", c_uint64), ("fallen", POINTER(Fallen))]


class TurnLimits(ctypes.Structure):
    """struct tx_turn_limits"""

    _fields_ = [(name, c_uint64) for name in ("group_bytes_max", "lag_bytes_max", "groups_max")]


_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "tx_open": (c_void_p, [POINTER(Limits), c_uint64, c_uint64, c_uint64, c_uint64, c_uint64]),
    "tx_close": (None, [c_void_p]),
    "tx_state": (POINTER(State), [c_void_p]),
    "tx_group": (POINTER(Group), [c_void_p]),
    "tx_replay_commit": (None, [c_void_p, c_char_p, c_uint64]),
    "tx_replay_catalog_version": (None, [c_void_p, c_uint64, c_uint64]),
    "tx_replay_published": (None, [c_void_p, c_uint64, c_uint64, c_uint64]),
    "tx_begin_lease": (None, [c_void_p, c_uint64]),
    "tx_check_record": (c_char_p, [c_char_p, c_size_t]),
    "tx_group_begin": (None, [c_void_p, c_uint64]),
    "tx_group_decide": (None, [c_void_p, c_char_p, c_size_t, POINTER(Answer)]),
    "tx_ask": (None, [c_void_p, c_char_p, c_uint64, POINTER(Answer)]),
    "tx_group_add": (None, [c_void_p, c_uint32, c_char_p, c_size_t]),
    "tx_group_seal": (None, [c_void_p, c_uint64, c_uint64]),
    "tx_group_confirm": (None, [c_void_p]),
    "tx_group_complete": (c_int, [c_void_p, c_void_p]),
    "tx_give_up": (c_int, [c_void_p, c_char_p, c_uint64]),
    "tx_forget": (None, [c_void_p, c_uint64, c_uint64]),
    "tx_desk_open": (c_void_p, [c_void_p, POINTER(DeskLimits)]),
    "tx_desk_close": (None, [c_void_p]),
    "tx_desk_state": (POINTER(DeskState), [c_void_p]),
    "tx_desk_descriptor": (c_int, [c_void_p]),
    "tx_desk_adopt": (c_int, [c_void_p, c_int]),
    "tx_desk_receive": (None, [c_void_p, c_uint64]),
    "tx_desk_decide": (c_uint64, [c_void_p, c_uint64]),
    "tx_desk_decidable_bytes": (c_uint64, [c_void_p, c_uint64]),
    "tx_desk_answer": (None, [c_void_p]),
    "tx_desk_reply": (None, [c_void_p, c_uint64, c_char_p, c_size_t]),
    "tx_desk_dismiss": (None, [c_void_p, c_uint64, c_char_p, c_size_t]),
    "tx_desk_refuse": (c_uint64, [c_void_p, c_uint64, c_uint32, c_char_p]),
    "tx_desk_refuse_held": (c_uint64, [c_void_p, c_uint64, c_uint32, c_char_p]),
    "tx_desk_release_aged": (None, [c_void_p, c_uint64]),
    "tx_journal_open": (c_void_p, [c_void_p]),
    "tx_journal_close": (None, [c_void_p]),
    "tx_journal_state": (POINTER(JournalState), [c_void_p]),
    "tx_journal_effects": (c_void_p, [c_void_p]),
    "tx_journal_continue_in": (None, [c_void_p, POINTER(c_int), c_size_t, c_uint64, c_uint64, c_uint64]),
    "tx_journal_follow": (None, [c_void_p, c_int]),
    "tx_journal_unfollow": (None, [c_void_p, c_int]),
    "tx_journal_forget_fallen": (None, [c_void_p]),
    "tx_journal_feed": (None, [c_void_p, c_uint64, c_char_p, c_size_t]),
    "tx_turn": (c_int, [c_void_p, c_void_p, POINTER(TurnLimits), c_uint64, c_uint64, POINTER(c_int)]),
}
_WAITING: Final = frozenset(("tx_group_complete", "tx_turn"))


def load_library(path: Path | str | None = None) -> ctypes.PyDLL:
    """The library of this installation, or another build of it. Raises Unavailable if it cannot be loaded."""
    path = path or os.environ.get("BOREALIS_TRANSACTION_LIBRARY")
    path = path or Path(__file__).with_name(f"borealis_transactions{_SUFFIX}")
    try:
        loaded, waiting = ctypes.PyDLL(str(path)), ctypes.CDLL(str(path))
    except OSError as error:
        raise Unavailable(
            f"the library of the commit path cannot be loaded, build it with `make build`: {error}"
        ) from error
    for name, (result, arguments) in _SIGNATURES.items():
        if name in _WAITING:
            setattr(loaded, name, getattr(waiting, name))
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    return loaded


library: Final = load_library()

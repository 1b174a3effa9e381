"""The C library of the commit path (storage_library/), loaded, and the types of its functions.

Calls let the interpreter's lock go: the copying of a snapshot runs beside them.
"""

import ctypes
import os
import sys
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

from borealis.foundation.errors import Unavailable

_SUFFIX: Final = ".dylib" if sys.platform == "darwin" else ".so"


class FollowerState(ctypes.Structure):
    """FollowerState of follower.h: what both sides read and write, each while the other is not at work."""

    _fields_ = (
        ("position", c_uint64),
        ("timestamp", c_uint64),
        ("catalog_version", c_uint64),
        ("schema_version", c_uint64),
        ("collected_horizon", c_uint64),
        ("collect_up_to", c_uint64),
        ("reported_position", c_uint64),
        ("report_pending_since_ns", c_int64),
        ("uncollected_writes", c_uint64),
        ("pass_began", c_uint64),
        ("plain_batches", c_uint64),
        ("error", c_int64),
        ("giant_bytes", c_uint64),
        ("plan_writes_max", c_uint64),
        ("report_delay_ns", c_uint64),
        ("report_bytes", c_uint64),
        ("collect_keys_min", c_uint64),
        ("collect_keys_max", c_uint64),
        ("collect_delay_ns", c_uint64),
    )


_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "storage_map_open": (c_int, [c_char_p, c_uint64, c_uint, c_uint, POINTER(c_void_p)]),
    "storage_map_close": (None, [c_void_p]),
    "storage_map_sync": (c_int, [c_void_p]),
    "storage_map_check_readers": (c_int, [c_void_p, POINTER(c_int)]),
    "storage_map_copy": (c_int, [c_void_p, c_int]),
    "storage_error_text": (c_char_p, [c_int]),
    "storage_begin": (c_int, [c_void_p, c_int, POINTER(c_void_p)]),
    "storage_commit": (c_int, [c_void_p]),
    "storage_abort": (None, [c_void_p]),
    "storage_get": (
        c_int,
        [c_void_p, c_void_p, c_int, c_char_p, c_size_t, POINTER(c_void_p), POINTER(c_size_t)],
    ),
    "storage_put": (c_int, [c_void_p, c_void_p, c_int, c_char_p, c_void_p, c_size_t]),
    "storage_put_over": (c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_size_t, c_void_p]),
    "storage_delete": (c_int, [c_void_p, c_void_p, c_int, c_char_p, c_void_p, c_size_t]),
    "storage_scan": (
        c_int,
        [
            *(c_void_p, c_void_p, c_int, c_char_p, c_size_t),
            *(c_void_p, c_size_t, POINTER(c_size_t), POINTER(c_size_t)),
        ],
    ),
    "storage_sweep": (
        c_int,
        [c_void_p, c_char_p, c_size_t, c_uint64, c_size_t, POINTER(c_size_t), c_void_p, POINTER(c_size_t)],
    ),
    "storage_clear_keys": (
        c_int,
        [c_void_p, c_void_p, c_char_p, c_void_p, c_size_t, c_uint64, c_uint64, POINTER(c_uint64), c_void_p],
    ),
    "storage_clear_relation": (
        c_int,
        [c_void_p, c_void_p, c_char_p, c_size_t, c_uint64, c_uint64, POINTER(c_uint64), POINTER(c_uint8)],
    ),
    "storage_follower_open": (c_void_p, [c_void_p, c_void_p, c_uint64, c_uint64, c_uint64, c_uint64]),
    "storage_follower_close": (None, [c_void_p]),
    "storage_follower_state": (POINTER(FollowerState), [c_void_p]),
    "storage_take_unpublished": (c_size_t, [c_void_p, POINTER(c_uint32), c_size_t]),
    "storage_connect": (None, [c_void_p, c_int]),
    "storage_disconnect": (None, [c_void_p]),
    "storage_send": (c_int, [c_void_p, c_char_p, c_size_t]),
    "storage_report": (c_int, [c_void_p]),
    "storage_note_applied": (c_int, [c_void_p]),
    "storage_follow": (c_int, [c_void_p, c_int, c_int, c_int64, c_int64]),
    "storage_feed": (c_int, [c_void_p, c_char_p, c_size_t]),
    "storage_next_frame": (c_int, [c_void_p, POINTER(c_uint8), POINTER(c_void_p), POINTER(c_size_t)]),
    "storage_drop_frame": (None, [c_void_p]),
    "storage_collect": (c_int, [c_void_p, c_uint64, c_size_t]),
    "storage_publish": (None, [c_void_p, c_uint64, c_uint64, c_uint32]),
    "storage_queue_length": (c_uint64, [c_void_p]),
    "storage_queue_is_incomplete": (c_int, [c_void_p]),
    "storage_queue_set_incomplete": (None, [c_void_p, c_int]),
    "storage_queue_is_ready": (c_int, [c_void_p, c_uint64]),
    "storage_queue_add": (None, [c_void_p, c_void_p, c_char_p, c_void_p, c_size_t]),
}


def _load() -> ctypes.CDLL:
    path = os.environ.get("BOREALIS_STORAGE_LIBRARY") or Path(__file__).with_name(f"borealis_storage{_SUFFIX}")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise Unavailable(f"the storage library cannot be loaded, build it with `make build`: {error}") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    return loaded


library: Final = _load()

"""Waking everybody who waits on a word of a shared page. On systems without futexes it does nothing: readers poll."""

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Final

_FUTEX_WAKE: Final = 1
_EVERYBODY: Final = 2**31 - 1
_SYSCALL_NUMBERS: Final = {"x86_64": 202, "aarch64": 98}


def make_waker(page: memoryview, offset: int) -> Callable[[], None]:
    """A function that wakes all waiters on the u32 at `offset`, in whatever process (the futex is not private)."""
    number = _SYSCALL_NUMBERS.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return _wake_nobody
    # PyDLL keeps the interpreter's lock: letting it go would cost more than the call takes.
    syscall = ctypes.PyDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    word = ctypes.c_uint32.from_buffer(page, offset)
    address = ctypes.addressof(word)

    def wake(_keeps_page_mapped: object = word) -> None:
        syscall(number, address, _FUTEX_WAKE, _EVERYBODY)

    return wake


def _wake_nobody() -> None:
    pass

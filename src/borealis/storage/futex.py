"""Waking those who wait on a word of a shared page. On systems without futexes it does nothing: readers poll.

Who waits does so under one of 32 bits (pages.wake_bit) and is woken under that bit: to wake somebody who must go to
sleep again costs two processes more than all else that storage does for a small commit.
"""

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Final

EVERY_BIT: Final = 0xFFFF_FFFF

_FUTEX_WAKE_BITSET: Final = 10
_EVERYBODY: Final = 2**31 - 1
_SYSCALL_NUMBERS: Final = {"x86_64": 202, "aarch64": 98}


def make_waker(page: memoryview, offset: int) -> Callable[[int], None]:
    """A function that wakes all waiters under the given bits on the u32 at `offset`, in whatever process."""
    number = _SYSCALL_NUMBERS.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return _wake_nobody
    # PyDLL keeps the interpreter's lock: letting it go would cost more than the call takes.
    syscall = ctypes.PyDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    pointer = ctypes.c_void_p
    syscall.argtypes = [ctypes.c_long, pointer, ctypes.c_int, ctypes.c_int, pointer, pointer, ctypes.c_uint]
    word = ctypes.c_uint32.from_buffer(page, offset)
    address = ctypes.addressof(word)

    def wake(bits: int, _keeps_page_mapped: object = word) -> None:
        syscall(number, address, _FUTEX_WAKE_BITSET, _EVERYBODY, None, None, bits)

    return wake


def _wake_nobody(bits: int) -> None:
    del bits

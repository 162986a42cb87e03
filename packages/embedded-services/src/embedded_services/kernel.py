"""The system call prctl by ctypes: Python has no function for it. It exists on Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4


def set_process_attribute(option: int, value: int) -> None:
    """Call prctl(option, value) for this process.

    Raises:
        OSError: the kernel refused, or this is not Linux.
    """
    if sys.platform != "linux":
        raise OSError("prctl exists on Linux only")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *(ctypes.c_ulong(word) for word in (value, 0, 0, 0))) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def prevent_dumps() -> None:
    """Close the memory of this process to other processes of the same user, where the kernel can do that."""
    with contextlib.suppress(OSError):
        set_process_attribute(PR_SET_DUMPABLE, 0)

"""System calls for which Python has no function, called by ctypes. They raise OSError except on Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from typing import Final

PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38


def prctl(option: int, value: int = 0) -> int:
    """Set or get an attribute of this process, see the manual page of prctl.

    Raises:
        OSError: the kernel refused, or this is not Linux.
    """
    return _checked(_libc().prctl(option, *(ctypes.c_ulong(word) for word in (value, 0, 0, 0))))


def system_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call the system call `number`. A buffer is passed by its address, and None as a null pointer.

    Raises:
        OSError: the kernel refused, does not know the call, or this is not Linux.
    """
    words = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return _checked(_libc().syscall(ctypes.c_long(number), *words))


def prevent_dumps() -> bool:
    """Protect the memory of this process from others of the same user, and return whether the kernel did it.

    From then on root owns /proc/PID/environ, mem and fd, only root can attach a debugger, and no core is written.
    Forked children inherit this; a program that exec starts does not.
    """
    try:
        prctl(PR_SET_DUMPABLE, 0)
        return prctl(PR_GET_DUMPABLE) == 0
    except OSError:
        return False


@cache
def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

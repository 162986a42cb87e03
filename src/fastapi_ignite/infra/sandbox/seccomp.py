"""A seccomp filter: the list of system calls that a process may still make.

The filter is a small program for the kernel's classic BPF machine (Documentation/userspace-api/seccomp_filter.rst). We
build it here because the packages on PyPI need the system's libseccomp.so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Collection, Mapping
from typing import Final

from fastapi_ignite.infra.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl, system_call
from fastapi_ignite.infra.sandbox.syscalls import NUMBERS

_MACHINES: Final = {"x86_64": 0, "aarch64": 1}
_AUDIT_ARCHES: Final = (0xC000003E, 0xC00000B7)

# Instructions: load a word of the call's description, compare it, mask it, return a decision.
_LOAD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_AND: Final = 0x54
_RETURN: Final = 0x06
# Offsets of the number, the architecture, and the low half of the first argument in the description of a call.
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16
_ARGUMENT_BYTES: Final = 8
_HIGH_HALF: Final = 4

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERROR: Final = 0x00050000

_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1

_ALL_BITS: Final = 0xFFFFFFFF
_CLONE_THREAD: Final = 0x00010000
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET
_CLONE_NAMESPACES: Final = 0x7E020000
_SET_THREAD_NAME: Final = 15
_UNIX_SOCKET: Final = 1


def install(
    allowed: Collection[str], *, allowed_fully: Collection[str] = (), refused_paths: Collection[str] = ()
) -> bool:
    """Restrict all threads of this process permanently, and return whether the kernel did it.

    Some `allowed` calls are limited: `clone` can only create threads, `tgkill` only reach this process, `prctl` only
    name a thread, `prlimit64` only read limits, and `socketpair` only create Unix sockets. Calls in `allowed_fully`
    may have any arguments. Calls in `refused_paths` fail with EACCES, like a file without permission. All others fail
    with ENOSYS, as in an older kernel, so that libraries use older calls instead.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None or sys.maxsize < _ALL_BITS:  # a 32-bit program uses other system call numbers
        return False
    conditions = {name: check for name, check in _conditions(os.getpid()).items() if name not in allowed_fully}
    code = _build(machine, {*allowed, *allowed_fully}, refused_paths, conditions)
    try:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        filter_text = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("@HP", len(code) // 8, ctypes.addressof(filter_text))
        buffer = ctypes.create_string_buffer(program, len(program))
        # A positive result is the id of a thread that could not be restricted.
        return system_call(NUMBERS["seccomp"][machine] or 0, _SET_MODE_FILTER, _ALL_THREADS, buffer) == 0
    except OSError:
        return False


def _conditions(own_process: int) -> dict[str, list[bytes]]:
    return {
        "clone": _masked(0, _CLONE_THREAD | _CLONE_NAMESPACES, _CLONE_THREAD),
        "tgkill": _masked(0, _ALL_BITS, own_process),
        "prctl": _masked(0, _ALL_BITS, _SET_THREAD_NAME),
        "prlimit64": _is_null(2),
        "socketpair": _masked(0, _ALL_BITS, _UNIX_SOCKET),
    }


def _build(
    machine: int, allowed: Collection[str], refused_paths: Collection[str], conditions: Mapping[str, list[bytes]]
) -> bytes:
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, _AUDIT_ARCHES[machine], if_equal=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER),
    ]
    for names, verdict in ((allowed, _ALLOW), (refused_paths, _ERROR | errno.EACCES)):
        for name in names:
            number = NUMBERS[name][machine]
            if number is None:  # this architecture does not have the call
                continue
            body = [*conditions.get(name, []), _instruction(_RETURN, verdict)]
            code += [_instruction(_JUMP_IF_EQUAL, number, if_not=len(body)), *body]
    code.append(_instruction(_RETURN, _ERROR | errno.ENOSYS))
    return b"".join(code)


def _masked(argument: int, mask: int, wanted: int) -> list[bytes]:
    """Build instructions that return ENOSYS unless the low half of the argument, masked, equals `wanted`."""
    return [
        _instruction(_LOAD, _FIRST_ARGUMENT + argument * _ARGUMENT_BYTES),
        _instruction(_AND, mask),
        _instruction(_JUMP_IF_EQUAL, wanted, if_equal=1),
        _instruction(_RETURN, _ERROR | errno.ENOSYS),
    ]


def _is_null(argument: int) -> list[bytes]:
    offset = _FIRST_ARGUMENT + argument * _ARGUMENT_BYTES
    return [
        instruction
        for half in (offset, offset + _HIGH_HALF)
        for instruction in (
            _instruction(_LOAD, half),
            _instruction(_JUMP_IF_EQUAL, 0, if_equal=1),
            _instruction(_RETURN, _ERROR | errno.ENOSYS),
        )
    ]


def _instruction(code: int, value: int, *, if_equal: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_equal, if_not, value)

"""Landlock: a thread gives up access to files, TCP, signals and abstract sockets, for itself and its children.

The kernel documents the interface in Documentation/userspace-api/landlock.rst. Each version of its ABI can restrict
more; restrictions that the running kernel does not know are left out.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Mapping
from typing import Final

from fastapi_ignite.infra.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl, system_call

# Numbers that all architectures share.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
TRUNCATE: Final = 1 << 14
READ: Final = READ_FILE | READ_DIR
_RIGHTS_OF_A_FILE: Final = READ_FILE | WRITE_FILE | TRUNCATE  # the kernel refuses rights of folders on a file

_FILE_RIGHTS_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}  # bind and connect came with ABI 4
_FILE_RIGHTS_BITS_SINCE_5: Final = 16
_NETWORK_SINCE: Final = 4
_BIND_TCP_AND_CONNECT_TCP: Final = 0b11
_SCOPES_SINCE: Final = 6
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11


def abi_version() -> int:
    """Return the ABI version of the running kernel, or 0 without Landlock, also if a container forbids it."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def restrict(allowed: Mapping[str, int]) -> int:
    """Deny the calling thread everything except the given rights below each path of `allowed`.

    Open descriptors stay usable. Paths that do not exist are ignored. Threads that already run are not restricted.
    Returns the ABI version that was applied; 0 means that nothing is restricted.
    """
    version = abi_version()
    if version == 0:
        return 0
    handled = (1 << _FILE_RIGHTS_BITS.get(version, _FILE_RIGHTS_BITS_SINCE_5)) - 1
    attributes = struct.pack("=Q", handled)
    if version >= _NETWORK_SINCE:
        attributes += struct.pack("=Q", _BIND_TCP_AND_CONNECT_TCP)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    try:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        ruleset = system_call(_CREATE_RULESET, buffer, len(attributes), 0)
        try:
            for path, rights in allowed.items():
                _add_rule(ruleset, path, rights & handled)
            system_call(_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)
    except OSError:
        return 0
    return version


def _add_rule(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _RIGHTS_OF_A_FILE
        rule = struct.pack("=Qi", rights, place)
        system_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(place)

"""The user numbers under which root runs what should not be root, each its own.

None of them needs an entry in /etc/passwd. The embedded servers have users of their own
(`embedded_services/account.py`): PostgreSQL is `nobody`, Valkey is 65530.
"""

from __future__ import annotations

import os
from typing import Final

# 65520 to 65533 belong to no distribution, and exist in containers that map no more than 65536 users.
SHARED_PARSER_ID: Final = 65_531
# systemd's list of user numbers leaves these free. Linux numbers its processes up to 2**22.
FIRST_PARSER_ID: Final = 0x7000_0000


def drop_root_privileges() -> int | None:
    """Turn root into a user that no other running process is, in all threads, and return its number.

    The number follows from the process number, so two that run at the same time never share one. Where the machine maps
    no such number, all parsers share another. None: this is not root, or root that may not change its user.
    """
    if os.geteuid() != 0:
        return None
    for number in (FIRST_PARSER_ID + os.getpid(), SHARED_PARSER_ID):
        try:
            os.setgroups([])
            os.setgid(number)
            os.setuid(number)
        except OSError:
            continue
        return number
    return None

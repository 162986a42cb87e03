"""User ids under which root runs programs that must not be root. Each program has its own.

They need no entry in /etc/passwd. The embedded servers have user ids of their own (`embedded_services/account.py`):
PostgreSQL runs as `nobody`, Valkey as 65530.
"""

from __future__ import annotations

import os
from typing import Final

# No distribution uses 65520 to 65533, and they exist in containers that map only 65536 users.
SHARED_PARSER_ID: Final = 65_531
# systemd's list of user ids leaves these free. Process ids of Linux are below 2**22.
FIRST_PARSER_ID: Final = 0x7000_0000


def drop_root_privileges() -> int | None:
    """Change root, in all threads, to a user that no other running process has, and return its id.

    The user id follows from the process id, so two running processes never share one. If the machine does not map such
    an id, all parsers share another one. Returns None if this is not root, or root may not change its user.
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

"""Make ids in the program, because PostgreSQL before version 18 has no uuidv7()."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

NANOSECONDS = 1_000_000  # in one millisecond


def new_id() -> UUID:
    """Make a UUIDv7 (RFC 9562): Unix milliseconds, 12 bits of their fraction (its method 3), then 62 random bits.

    Ids sort by creation time with a precision of a quarter microsecond, because one connection can write several rows
    in a millisecond.
    """
    milliseconds, rest = divmod(time.time_ns(), NANOSECONDS)
    fraction = (rest << 12) // NANOSECONDS
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | secrets.randbits(62))

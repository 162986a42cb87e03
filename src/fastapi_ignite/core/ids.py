"""Identifiers made in the program, so that the schema runs on servers without uuidv7()."""

from __future__ import annotations

import secrets
import time
from uuid import UUID


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits; sorts by creation time."""
    milliseconds = time.time_ns() // 1_000_000
    random_a = secrets.randbits(12)
    random_b = secrets.randbits(62)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (random_a << 64) | (0b10 << 62) | random_b)

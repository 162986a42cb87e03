"""What is stored under a key: a value's bytes with what is needed to trust them and to renew them in time."""

from __future__ import annotations

import hashlib
import json
import math
import random
from dataclasses import dataclass

from fastapi_ignite.core import clock

DIGEST_BYTES = 16
JITTER = 0.1  # entries written together must not expire together


class CorruptEntryError(Exception):
    """The bytes were not written under this key by this code, or were damaged since."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`absent` marks a remembered "not found", whose body describes the refusal."""

    body: bytes
    tags: tuple[str, ...]
    generations: tuple[str, ...]
    created: float
    expires: float
    load_seconds: float
    absent: bool = False

    @classmethod
    def of(
        cls,
        body: bytes,
        *,
        ttl: float,
        load_seconds: float,
        tags: tuple[str, ...],
        generations: tuple[str, ...],
        absent: bool = False,
    ) -> Entry:
        """An entry from now on; it lives up to a tenth less than `ttl`, never longer."""
        now = clock.now().timestamp()
        lifetime = ttl * random.uniform(1 - JITTER, 1)  # noqa: S311  spread, not secrecy
        return cls(body, tags, generations, now, now + lifetime, load_seconds, absent)

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> Entry:
        """Raises: CorruptEntryError: garbage, half an entry, or one that was written under another key."""
        content = data[DIGEST_BYTES:]
        if data[:DIGEST_BYTES] != _digest(key, content):
            raise CorruptEntryError
        header, _, body = content.partition(b"\n")
        tags, generations, created, expires, load_seconds, absent = json.loads(header)
        return cls(body, tuple(tags), tuple(generations), created, expires, load_seconds, absent)

    def to_bytes(self, key: str) -> bytes:
        """For the backend."""
        header = [self.tags, self.generations, self.created, self.expires, self.load_seconds, self.absent]
        content = json.dumps(header, separators=(",", ":")).encode() + b"\n" + self.body
        return _digest(key, content) + content

    @property
    def age(self) -> float:
        """Seconds since it was loaded."""
        return max(0.0, clock.now().timestamp() - self.created)

    @property
    def expired(self) -> bool:
        """Whether its time is over, whatever the backend thinks."""
        return self.expires <= clock.now().timestamp()

    def refresh_due(self) -> bool:
        """XFetch: the nearer the end and the longer the load, the likelier; never long before the end.

        Of many readers one is very likely to renew the entry before it ends, without any word between them
        (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).
        """
        head_start = -self.load_seconds * math.log(1 - random.random())  # noqa: S311  a dice, no secret
        return clock.now().timestamp() + head_start >= self.expires


def _digest(key: str, content: bytes) -> bytes:
    """Against accidents, not against enemies: who can write to the backend can compute it."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES, key=hashlib.sha256(key.encode()).digest()).digest()

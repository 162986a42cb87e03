"""What a cache asks of the place where its values live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

MAX_TTL_SECONDS = 86_400


class CacheUnavailableError(Exception):
    """The backend is away or failed: do without it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The bytes under a key, and the generations its tags had no later than that."""

    data: bytes | None
    generations: tuple[str, ...]


class CacheBackend(Protocol):
    """Bytes by key, generations by tag, and locks. It knows nothing of what the bytes mean.

    A generation is a token that never comes back once its tag was invalidated or forgotten, so whoever still holds an
    old one can tell. A method may raise anything; `outages` are the errors after which the next call would fail too.
    """

    name: ClassVar[str]
    outages: ClassVar[tuple[type[Exception], ...]]

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        """The value and the tags' generations, new ones where a tag has none."""
        ...

    async def write(self, key: str, data: bytes, ttl: float, tags: Sequence[str], generations: Sequence[str]) -> bool:
        """Store for `ttl` seconds unless a tag left its generation meanwhile; false then, and where it cannot fit."""
        ...

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        """As `read`, without a value."""
        ...

    async def invalidate(self, tags: Sequence[str]) -> None:
        """End the generation of each tag, for every process."""
        ...

    async def acquire(self, lock: str, owner: str, seconds: float) -> bool:
        """Take a free lock. It frees itself when its owner dies: at once, or after `seconds`."""
        ...

    async def release(self, lock: str, owner: str) -> None:
        """Give the lock back, if it is still `owner`'s."""
        ...

    def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every key that begins with `prefix`, and its bytes, in pages."""
        ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries; returns how many there were."""
        ...

    async def close(self) -> None:
        """Return every resource."""
        ...

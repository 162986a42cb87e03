"""An entry is what is stored under a key: a result as JSON, with what is needed to trust it and to renew it in time."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

from pydantic import TypeAdapter

from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import NotFoundError

T = TypeVar("T")
FORMAT = 1  # of entries; a new one makes every older entry unreachable
MAX_TTL_SECONDS = 86_400
DIGEST_BYTES = 16
KEPT_BYTES = 64 * 1024  # of an entry that may be kept in the process


class CorruptEntryError(ValueError):
    """The bytes were damaged, or were not written under this key by this code."""


class UncacheableValueError(Exception):
    """The value is not what the function declares, or has no JSON form."""


class Policy(Generic[T]):
    """Says how the results of one function are kept: as JSON of its return annotation, for `ttl` seconds.

    A `ttl` of None is the cache's default. `absence` is the error that is remembered for the negative TTL, as the
    result None is. The annotation is read at the first call: it may name what is defined further down.
    """

    def __init__(
        self, function: Callable[..., Any], name: str, *, ttl: int | None, absence: type[NotFoundError] | None
    ) -> None:
        if ttl is not None and not 1 <= ttl <= MAX_TTL_SECONDS:
            raise ValueError(f"ttl must be 1 to {MAX_TTL_SECONDS} seconds")
        self.name = name
        self.ttl = ttl
        self.absence = absence
        self._function = function

    @cached_property
    def version(self) -> str:
        """A digest of the type's shape. A deploy that changes the shape reads none of the old entries."""
        shape = json.dumps([FORMAT, self.adapter.json_schema(mode="serialization")], sort_keys=True)
        return hashlib.blake2b(shape.encode(), digest_size=4).hexdigest()

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        hints = get_type_hints(self._function, include_extras=True)
        if "return" not in hints:
            raise TypeError(f"{self._function.__qualname__} needs a return annotation: cached values are read by it")
        return TypeAdapter(hints["return"])

    def encode(self, value: T) -> bytes:
        """Return JSON that `decode` turns into an equal value.

        Raises:
            UncacheableValueError: the value is not of the declared type and would come back as something else.
        """
        try:
            return self.adapter.dump_json(value, round_trip=True, warnings="error")
        except ValueError as error:
            raise UncacheableValueError(str(error)) from error

    def decode(self, body: bytes) -> T:
        """Read a value; bytes that do not fit the type raise `ValueError`."""
        value: T = self.adapter.validate_json(body, by_alias=False, by_name=True)
        return value

    def result(self, entry: Entry) -> T | NotFoundError:
        """Return the value of an entry, or a new error like the one that was raised."""
        if not entry.absent:
            return self.decode(entry.body)
        if self.absence is None:
            raise ValueError("this function remembers no errors")
        detail, extra = json.loads(entry.body)
        return self.absence(detail, **extra)


class ResponsePolicy(Policy[bytes]):
    """Keeps the JSON that a client is sent, as it is."""

    def render(self, value: Any) -> bytes:
        return self.adapter.dump_json(value, by_alias=True, warnings="error")

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, body: bytes) -> bytes:
        return body


class Entry(NamedTuple):
    """A stored result. `absent` marks a remembered error, which the body describes. Times are Unix seconds."""

    body: bytes
    tags: tuple[str, ...]
    generations: tuple[str, ...]
    created: float
    expires: float
    load_seconds: float
    absent: bool = False

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> Entry:
        """Read an entry; garbage, half an entry and another key's entry raise `CorruptEntryError`."""
        return _parsed_before(key, data) if len(data) <= KEPT_BYTES else _parsed(key, data)

    def to_bytes(self, key: str) -> bytes:
        content = json.dumps(self[1:], separators=(",", ":")).encode() + b"\n" + self.body
        return _digest(key, content) + content

    @property
    def age(self) -> float:
        return max(0.0, clock.now().timestamp() - self.created)

    @property
    def expired(self) -> bool:
        return self.expires <= clock.now().timestamp()

    def refresh_due(self) -> bool:
        """Throw a die whether this reader renews the entry: the nearer its end and the longer the load, the likelier.

        Of many readers one is very likely to renew it before it ends, without any word between them
        (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).
        """
        head_start = -self.load_seconds * math.log(1 - random.random())  # noqa: S311  no secret
        return clock.now().timestamp() + head_start >= self.expires


def _parsed(key: str, data: bytes) -> Entry:
    content = data[DIGEST_BYTES:]
    if data[:DIGEST_BYTES] != _digest(key, content):
        raise CorruptEntryError
    header, _, body = content.partition(b"\n")
    tags, generations, *rest = json.loads(header)
    return Entry(body, tuple(tags), tuple(generations), *rest)


# A hot entry is read again and again: to check and parse it takes 4 us, to recognise it less than 1.
_parsed_before = lru_cache(maxsize=16)(_parsed)


def _digest(key: str, content: bytes) -> bytes:
    """Return a digest that detects accidents. It is no signature: who can write to the backend can compute it."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES, key=hashlib.sha256(key.encode()).digest()).digest()

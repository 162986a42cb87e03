"""Caching of functions."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

from fastapi_ignite.core.errors import IgniteError, NotFoundError
from fastapi_ignite.infra.cache.backend import MAX_TTL_SECONDS
from fastapi_ignite.infra.cache.cache import Policy
from fastapi_ignite.infra.cache.codec import Codec, return_type
from fastapi_ignite.infra.cache.runtime import get_cache
from fastapi_ignite.infra.cache.signatures import CallSignature

P = ParamSpec("P")
T = TypeVar("T")
Function = Callable[P, Coroutine[Any, Any, T]]
SERVER_ERROR = 500


def cached(
    *,
    key: str | None = None,
    ttl: int | None = None,
    tags: Sequence[str] = (),
    shared: bool = False,
    absence: type[NotFoundError] | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Function[P, T]]:
    """Keep what an async function returns, read back by its return annotation.

    Args:
        key: `name:{parameter}`, the parameters that identify the result; without any, all but `self` do.
        ttl: seconds; null is `CACHE_TTL_SECONDS`.
        tags: `name` or `name:{parameter}`; see `invalidate_cache`.
        shared: the result is the same for every tenant. Otherwise the function has a `tenant_id`, or its object has.
        absence: a refusal to remember for `CACHE_NEGATIVE_TTL_SECONDS`, as the result `None` is.

    The function must read its data after it was called: not from a session that read before.
    """
    check_ttl(ttl)

    def decorate(function: Callable[P, Awaitable[T]]) -> Function[P, T]:
        call = CallSignature(function, key=key, tags=tags, shared=shared)

        @functools.cache  # not at import: the annotation may name what is defined further down
        def policy() -> tuple[Policy[T], str]:
            codec: Codec[T] = Codec(return_type(function))
            return Policy(call.name, codec.encode, codec.decode, ttl, absence), codec.version

        @functools.wraps(function)
        async def look_up(*args: P.args, **kwargs: P.kwargs) -> T:
            rules, version = policy()
            arguments = call.arguments(args, kwargs)
            found = await get_cache().get_or_load(
                rules, call.key(arguments, version), call.tags(arguments), lambda: function(*args, **kwargs)
            )
            return found.value

        return look_up

    return decorate


def invalidate_cache(
    *, tags: Sequence[str], shared: bool = False
) -> Callable[[Callable[P, Awaitable[T]]], Function[P, T]]:
    """Drop what is cached under these tags once an async function is through: it commits before it returns.

    After a refusal (an `IgniteError` of the caller's making) nothing was written; after any other failure the commit
    may have happened, and the tags are dropped as well.
    """

    def decorate(function: Callable[P, Awaitable[T]]) -> Function[P, T]:
        call = CallSignature(function, tags=tags, shared=shared)

        @functools.wraps(function)
        async def write(*args: P.args, **kwargs: P.kwargs) -> T:
            cache = get_cache()
            outdated = call.tags(call.arguments(args, kwargs))
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                if not isinstance(error, IgniteError) or error.status >= SERVER_ERROR:
                    cache.invalidate_soon(*outdated)
                raise
            await cache.invalidate(*outdated)
            return result

        return write

    return decorate


def check_ttl(ttl: int | None) -> None:
    """Raises: ValueError: out of bounds."""
    if ttl is not None and not 1 <= ttl <= MAX_TTL_SECONDS:
        raise ValueError(f"ttl takes 1 to {MAX_TTL_SECONDS} seconds")

"""Caching of functions."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from fastapi_ignite.core.errors import IgniteError, NotFoundError
from fastapi_ignite.infra.cache.entries import Policy
from fastapi_ignite.infra.cache.keys import Template, entry_key, key_value
from fastapi_ignite.infra.cache.runtime import get_cache

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
    """Keep what an async function returns, and read it back by its return annotation.

    Args:
        key: `name:{parameter}`, the parameters that identify the result; without any, all but `self` do.
        ttl: seconds; None is `CACHE_TTL_SECONDS`.
        tags: `name` or `name:{parameter}`; see `invalidate_cache`.
        shared: the result is the same for every tenant. Otherwise the function has a `tenant_id`, or its object has.
        absence: an error to remember for `CACHE_NEGATIVE_TTL_SECONDS`, as the result None is.

    The function must read its data after it was called: not from a session that read before.
    """

    def decorate(function: Callable[P, Awaitable[T]]) -> Function[P, T]:
        call = CallSignature(function, key=key, tags=tags, shared=shared)
        policy: Policy[T] = Policy(function, call.name, ttl=ttl, absence=absence)

        @functools.wraps(function)
        async def look_up(*args: P.args, **kwargs: P.kwargs) -> T:
            arguments = call.arguments(args, kwargs)
            found = await get_cache().get_or_load(
                policy, call.key(arguments, policy.version), call.tags(arguments), lambda: function(*args, **kwargs)
            )
            return found.value

        return look_up

    return decorate


def invalidate_cache(
    *, tags: Sequence[str], shared: bool = False
) -> Callable[[Callable[P, Awaitable[T]]], Function[P, T]]:
    """Drop what is cached under these tags after an async function, which commits before it returns.

    After a refusal (an `IgniteError` with a status below 500) nothing was written and nothing is dropped; after any
    other failure the commit may have happened, and the tags are dropped as well.
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


class CallSignature:
    """Makes the key, the tags and the tenant of a call.

    A function of tenants says whose data it works on; one that has no tenant says `shared`.
    """

    def __init__(
        self, function: Callable[..., Any], *, tags: Sequence[str], shared: bool, key: str | None = None
    ) -> None:
        self._function_name = function.__qualname__
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{self._function_name} is not an async function")
        self._signature = inspect.signature(function)
        parameters = list(self._signature.parameters)
        self._receiver = parameters[0] if parameters and parameters[0] in ("self", "cls") else None
        self._shared = shared
        if not shared and "tenant_id" not in parameters and self._receiver is None:
            raise TypeError(
                f"{self._function_name} has no tenant_id: add the parameter, "
                "or say shared=True where every tenant may see the result"
            )
        key = key or re.sub(r"[^\w.]", "", f"{function.__module__}.{self._function_name}", flags=re.ASCII)
        template = Template.parse(key)
        self.name = template.name
        self._tags = [Template.parse(text) for text in tags]
        values = [name for name in parameters if name != self._receiver]
        for each in (template, *self._tags):
            if unknown := set(each.parameters) - set(values):
                raise ValueError(f"{self._function_name} has no parameter {', '.join(sorted(unknown))}")
        self._key_parameters = template.parameters or [name for name in values if shared or name != "tenant_id"]

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments by name, defaults filled in: calls that mean the same look the same."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, arguments: Mapping[str, Any], version: str) -> str:
        values = (key_value(arguments[name]) for name in self._key_parameters)
        return entry_key(self.name, version, self._tenant(arguments), *values)

    def tags(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        tenant_id = self._tenant(arguments)
        return tuple(template.tag(arguments, tenant_id) for template in self._tags)

    def _tenant(self, arguments: Mapping[str, Any]) -> UUID | None:
        if self._shared:
            return None
        if "tenant_id" in arguments:
            tenant_id = arguments["tenant_id"]
        else:
            tenant_id = getattr(arguments[self._receiver or ""], "tenant_id", None)
        if not isinstance(tenant_id, UUID):
            raise TypeError(
                f"{self._function_name}: tenant_id is no UUID; a cached result belongs to a tenant, or is shared"
            )
        return tenant_id

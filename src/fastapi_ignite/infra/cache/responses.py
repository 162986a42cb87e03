"""Caching of whole responses: the encoded body, with the headers that let a client ask again for little."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from fastapi import Request, Response

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.security import Principal
from fastapi_ignite.infra.cache.cache import Found, Policy
from fastapi_ignite.infra.cache.codec import Codec, return_type
from fastapi_ignite.infra.cache.decorators import check_ttl
from fastapi_ignite.infra.cache.keys import Template, entry_key, tag
from fastapi_ignite.infra.cache.runtime import get_cache

Endpoint = Callable[..., Awaitable[Any]]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The caller's copy (`If-None-Match`) is good."}}
_REQUEST = "cached_response_request"


def cached_response(
    *,
    key: str,
    ttl: int | None = None,
    max_age: int = 0,
    tags: Sequence[str] = (),
    vary: Sequence[str] = (),
    shared: bool = False,
    absence: type[NotFoundError] | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Keep the JSON that an endpoint answers with. Stands below the router's decorator.

    As for any HTTP cache the URL identifies the response, and the request headers in `vary`; beyond that the tenant of
    the token does, or nobody where it is `shared`. `tags` name validated parameters. `max_age` is for how many seconds
    a client may use its copy without asking: no invalidation reaches it there. The other parameters are those of
    `cached`. The endpoint returns a value of its return annotation, never a `Response`, and with status 200.
    """
    check_ttl(ttl)

    def decorate(endpoint: Endpoint) -> Endpoint:
        name = _name(key)
        templates = [Template.parse(text) for text in tags]
        signature = inspect.signature(endpoint)
        headers = _CacheHeaders(max_age, tuple(vary), shared=shared)

        @functools.cache
        def policy() -> tuple[Policy[bytes], Codec[Any]]:
            return Policy(name, bytes, bytes, ttl, absence), Codec(return_type(endpoint))

        @functools.wraps(endpoint)
        async def respond(**arguments: Any) -> Response:
            request: Request = arguments.pop(_REQUEST)
            rules, codec = policy()

            async def load() -> bytes:
                return codec.encode_response(await endpoint(**arguments))

            tenant_id = None if shared else _tenant(request)
            found = await get_cache().get_or_load(
                rules,
                entry_key(name, codec.version, tenant_id, [_request_digest(request, vary)]),
                [
                    tag(item.name, *(arguments[each] for each in item.parameters), tenant_id=tenant_id)
                    for item in templates
                ],
                load,
            )
            return headers.respond(request, found)

        # FastAPI reads the signature to know what to pass
        parameters = [
            *signature.parameters.values(),
            inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request),
        ]
        respond.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return respond

    return decorate


def _name(key: str) -> str:
    template = Template.parse(key)
    if template.parameters:
        raise ValueError(f"{key!r}: the URL identifies a response; its key has no parameters")
    return template.name


class _CacheHeaders:
    def __init__(self, max_age: int, vary: tuple[str, ...], *, shared: bool) -> None:
        self._control = f"{'public' if shared else 'private'}, max-age={max_age}, must-revalidate"
        self._vary = ", ".join(vary if shared else ("Authorization", *vary))

    def respond(self, request: Request, found: Found[bytes]) -> Response:
        """The body, or 304 where the client has it already."""
        etag = f'"{hashlib.blake2b(found.value, digest_size=16).hexdigest()}"'
        headers = {
            "ETag": etag,
            "Cache-Control": self._control,
            "Age": str(int(found.age)),
            "X-Cache": found.outcome.value,
        }
        if self._vary:
            headers["Vary"] = self._vary
        if matches_etag(request.headers.getlist("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        return Response(found.value, headers=headers, media_type="application/json")


def matches_etag(fields: list[str], etag: str) -> bool:
    """Whether one of the `If-None-Match` fields names this representation."""
    candidates = [item.strip() for field in fields for item in field.split(",")]
    return any(item == "*" or item.removeprefix("W/") == etag for item in candidates)


def _request_digest(request: Request, vary: Sequence[str]) -> str:
    """Path and query, in whatever order the query was sent."""
    asked = [request.url.path, sorted(request.query_params.multi_items()), [request.headers.getlist(n) for n in vary]]
    return hashlib.blake2b(json.dumps(asked).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _tenant(request: Request) -> UUID:
    """Raises: TypeError: the route asks for no token; then the response is `shared`, or must not be kept."""
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise TypeError("a cached response belongs to the tenant of a verified token, or is shared=True")
    return principal.tenant_id

"""Caching of whole responses: the encoded body, with the headers that let a client ask again for little."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from fastapi import Request, Response

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.security import Principal
from fastapi_ignite.infra.cache.cache import LookupResult
from fastapi_ignite.infra.cache.entries import ResponsePolicy
from fastapi_ignite.infra.cache.keys import Template, entry_key, json_digest
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
    template = Template.parse(key)
    if template.parameters:
        raise ValueError(f"{key!r}: the URL identifies a response; its key has no parameters")
    tag_templates = [Template.parse(text) for text in tags]
    headers = {"Cache-Control": f"{'public' if shared else 'private'}, max-age={max_age}, must-revalidate"}
    if varies := ", ".join(vary if shared else ("Authorization", *vary)):
        headers["Vary"] = varies

    def decorate(endpoint: Endpoint) -> Endpoint:
        policy = ResponsePolicy(endpoint, template.name, ttl=ttl, absence=absence)

        @functools.wraps(endpoint)
        async def respond(**arguments: Any) -> Response:
            request: Request = arguments.pop(_REQUEST)
            tenant_id = None if shared else _tenant(request)

            async def load() -> bytes:
                return policy.render(await endpoint(**arguments))

            found = await get_cache().get_or_load(
                policy,
                entry_key(policy.name, policy.version, tenant_id, _request_digest(request, vary)),
                [each.tag(arguments, tenant_id) for each in tag_templates],
                load,
            )
            return _response(request, found, headers)

        # FastAPI reads the signature to know what to pass
        signature = inspect.signature(endpoint)
        added = inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
        respond.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), added]
        )
        return respond

    return decorate


def _response(request: Request, found: LookupResult[bytes], headers: dict[str, str]) -> Response:
    """Return the body, or 304 where the client has it already."""
    etag = f'"{hashlib.blake2b(found.value, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag, "Age": str(int(found.age)), "X-Cache": found.status.value, **headers}
    if matches_etag(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(found.value, headers=headers, media_type="application/json")


def matches_etag(fields: list[str], etag: str) -> bool:
    """Return whether one of the `If-None-Match` fields names this representation."""
    candidates = [item.strip() for field in fields for item in field.split(",")]
    return any(item == "*" or item.removeprefix("W/") == etag for item in candidates)


def _request_digest(request: Request, vary: Sequence[str]) -> str:
    """Return a digest of path and query, in whatever order the query was sent, and of the headers in `vary`."""
    query = sorted(request.query_params.multi_items()) if request.scope["query_string"] else []
    return json_digest([request.scope["path"], query, [request.headers.getlist(name) for name in vary]])


def _tenant(request: Request) -> UUID:
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise TypeError("a cached response belongs to the tenant of a verified token, or is shared=True")
    return principal.tenant_id

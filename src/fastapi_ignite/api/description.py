"""Title and description of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi_ignite.core.config import Settings

REPOSITORY = "https://github.com/bakrianoo/fastapi-ignite"
ABOUT = """\
{description}

**Authentication.** All operations except the public ones (health, plans, creating a tenant) require
`Authorization: Bearer <token>`. The token is a JWT with the tenant's id in the claim `tenant_id` (HS256 with
`JWT_SECRET`, or RS256/ES256 of an identity provider), or an API key. Only the token decides who the caller is. You may
also send a `tenant_id` parameter or an `X-Tenant-Id` header, but it must name the same tenant. `x-required-scope` is
the scope that the token must have.

**Errors** are `application/problem+json` (RFC 9457). Programs should read `code`. `type` links to its explanation.
With `request_id` the operator finds the request in the log.

**Rate limit.** `RateLimit` and `RateLimit-Policy` tell how many requests are left in the rolling minute. A refusal
(429) tells in `Retry-After` how many seconds to wait.

**Retries.** An operation with an `Idempotency-Key` runs only once for each key within 30 minutes.
"""


def describe(settings: Settings, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `FastAPI` that describe the API in the document."""
    return {
        "title": settings.app.project_name,
        "version": settings.app.version,
        "description": ABOUT.format(description=settings.app.project_description),
        "contact": {"name": "FastAPI-Ignite", "url": REPOSITORY},
        "license_info": {"name": "MIT", "identifier": "MIT"},
        "openapi_tags": [{"name": name, "description": about} for name, about in tags.items()],
    }

"""What the OpenAPI document says of the API as a whole."""

from __future__ import annotations

from typing import Any

from fastapi_ignite.core.config import Settings

REPOSITORY = "https://github.com/bakrianoo/fastapi-ignite"
TAGS = {
    "health": "Whether the API is there, whether it can work, and what it is. No token, no rate limit.",
    "items": "A public catalog that shows CRUD, search and caching. Not there in production unless `DEMO_ITEMS=on`.",
    "tenants": "Creating tenants. Open in development; production wants an admin key.",
    "exports": "Everything that is kept about a tenant, as one archive.",
    "billing": "Plans, and the one the tenant has.",
    "ingestion": "Projects and their files.",
    "query": "Questions to a project, answered with quotes proven to stand in its files; searches in its files.",
    "limits": "What the plan allows and what of it is used.",
    "usage": "What was used, by day and entry by entry.",
    "api keys": "Keys for programs: with a role and scopes, rotated with overlap, revoked within a second.",
    "audit": "What was done in the tenant and by whom. Events are never changed.",
    "admin": "For whoever runs the service. Takes an admin key, made by `python cli.py admin-key`.",
}
ABOUT = """\
{description}

**Authentication.** Everything but health, items, plans and creating a tenant takes `Authorization: Bearer <token>`: a
JWT that carries the tenant in its claim `tenant_id` (HS256 with `JWT_SECRET`, or RS256/ES256 of an identity provider),
or an API key. The bearer alone says who calls: a `tenant_id` parameter or an `X-Tenant-Id` header may be sent along,
and must then name the same tenant. `x-required-scope` is what the bearer must be allowed to do.

**Errors** are `application/problem+json` (RFC 9457). Programs look at `code`; `type` links to its explanation, and
`request_id` finds the request in the log.

**Rate limit.** `RateLimit` and `RateLimit-Policy` say what is left of the rolling minute; a refusal (429) says in
`Retry-After` how many seconds to wait.

**Retries.** Operations that take an `Idempotency-Key` run once for each key within 30 minutes.
"""


def describe(settings: Settings) -> dict[str, Any]:
    """The arguments of `FastAPI` that end up in the document."""
    return {
        "title": settings.app.project_name,
        "version": settings.app.version,
        "description": ABOUT.format(description=settings.app.project_description),
        "contact": {"name": "FastAPI-Ignite", "url": REPOSITORY},
        "license_info": {"name": "MIT", "identifier": "MIT"},
        "openapi_tags": [{"name": name, "description": description} for name, description in TAGS.items()],
    }

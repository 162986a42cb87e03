"""Title, tags and description of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi_ignite.core.config import Settings

REPOSITORY = "https://github.com/bakrianoo/fastapi-ignite"
TAGS = {
    "health": "Liveness, readiness and metadata of the API. No token is needed, and no rate limit applies.",
    "items": "A public catalog that shows CRUD, search and caching. Production has it only with `DEMO_ITEMS=on`.",
    "tenants": "Create, suspend and resume tenants. In production, creating one requires an admin key.",
    "exports": "Download everything that is stored about a tenant, as one archive.",
    "billing": "Plans, and the subscription of the tenant.",
    "ingestion": "Projects and their files.",
    "query": "Ask questions about the files of a project; each quote in an answer is verified. Search the files.",
    "limits": "The limits of the plan, and how much of them is used.",
    "usage": "Usage by day, and every single entry.",
    "api keys": "Keys for programs, with a role and scopes. Rotation may overlap; revocation takes a second.",
    "audit": "What was done in the tenant, and by whom. Events never change.",
    "admin": "For operators of the service. It requires an admin key, which `python cli.py admin-key` creates.",
}
ABOUT = """\
{description}

**Authentication.** All operations except health, items, plans and creating a tenant require
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


def describe(settings: Settings) -> dict[str, Any]:
    """Return the arguments of `FastAPI` that describe the API in the document."""
    return {
        "title": settings.app.project_name,
        "version": settings.app.version,
        "description": ABOUT.format(description=settings.app.project_description),
        "contact": {"name": "FastAPI-Ignite", "url": REPOSITORY},
        "license_info": {"name": "MIT", "identifier": "MIT"},
        "openapi_tags": [{"name": name, "description": description} for name, description in TAGS.items()],
    }

"""`cli.py token`."""

from __future__ import annotations

import time
from typing import Annotated
from uuid import UUID

import typer

from fastapi_ignite.cli.output import Json, print_result
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.permissions import Role
from fastapi_ignite.core.security import sign_token

DEFAULT_LIFETIME_SECONDS = 3600


def register(app: typer.Typer) -> None:
    app.command("token")(token)


def token(
    tenant_id: Annotated[UUID, typer.Argument(help="Id of the tenant, from the answer of POST /tenants/create.")],
    expires_in: Annotated[
        int | None,
        typer.Option(min=1, help="Lifetime in seconds. Default: an hour if tokens must expire, else unlimited."),
    ] = None,
    role: Annotated[Role | None, typer.Option(help="Default: no role claim, which means the owner's rights.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Print a bearer token for a tenant, signed with JWT_SECRET."""
    settings = get_settings()
    longest = settings.longest_token_lifetime
    if expires_in is None and longest is not None:
        expires_in = min(DEFAULT_LIFETIME_SECONDS, longest)
    expires_at = int(time.time()) + expires_in if expires_in else None
    signed = sign_token(tenant_id, settings, expires_at=expires_at, role=role)
    print_result(signed, {"token": signed, "tenant_id": tenant_id, "expires_at": expires_at}, as_json=as_json)

"""Finds the server and the credential of commands that use the HTTP API."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import typer

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.stack import running_stack, stack_url
from fastapi_ignite.core.config import Settings, get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.security import sign_token

TOKEN_SECONDS = 12 * 3600  # an `ingest` may take hours

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar=["IGNITE_URL", "API_V1"],
        help="URL of the server, or of its API up to /api/v1. Default: the stack of this data folder.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar=["IGNITE_API_KEY", "IGNITE_TOKEN", "TOKEN"],
        show_envvar=True,
        help="API key or token of the tenant. Prefer the variable: other users can see command lines.",
    ),
]
Tenant = Annotated[
    UUID | None,
    typer.Option(
        "--tenant",
        envvar=["IGNITE_TENANT_ID", "TENANT_ID"],
        help="Id of the tenant, if there is no token: this command then signs one with JWT_SECRET.",
    ),
]
AdminKey = Annotated[
    str | None,
    typer.Option(
        "--admin-key", envvar=["IGNITE_ADMIN_KEY", "ADMIN_KEY"], help="Key that `admin-key` has printed. See --token."
    ),
]


def connect(url: str | None, token: str | None, tenant_id: UUID | None) -> ApiClient:
    """Return a client that acts for a tenant.

    Raises:
        ConfigurationError: There is neither a token nor the id of a tenant.
    """
    if not token and tenant_id is None:
        raise ConfigurationError(
            "There is no credential. Set IGNITE_API_KEY to an API key or a token of the tenant. Where JWT_SECRET is "
            "known, --tenant ID is enough; 'python cli.py tenants list' shows the ids."
        )
    return ApiClient(_base_url(url), token or _signed(tenant_id, get_settings()))


def connect_as_admin(url: str | None, admin_key: str | None) -> ApiClient:
    """Return a client that acts for whoever runs the service, or for nobody without a key."""
    return ApiClient(_base_url(url), admin_key)


def _base_url(url: str | None) -> str:
    """Return the given URL, with the default path if it has none, or that of this machine."""
    if url is None:
        return local_url()
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/api/v1"


def local_url() -> str:
    """Return the URL of the API on this machine: that of the running stack, or else of the setting PORT."""
    settings = get_settings()
    stack = running_stack(settings)
    return f"{stack_url(settings, stack.port if stack else settings.app.port)}{settings.app.api_prefix}/v1"


def _signed(tenant_id: UUID | None, settings: Settings) -> str | None:
    if tenant_id is None:
        return None
    lifetime = min(TOKEN_SECONDS, settings.longest_token_lifetime or TOKEN_SECONDS)
    return sign_token(tenant_id, settings, expires_at=int(time.time()) + lifetime)

"""`cli.py admin-key …`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from fastapi_ignite.admin.models import AdminKey
from fastapi_ignite.admin.service import AdminKeyService
from fastapi_ignite.cli.output import Json, print_json, print_result, print_table
from fastapi_ignite.cli.schema_check import require_schema
from fastapi_ignite.core import clock
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses, open_services

group = typer.Typer(invoke_without_command=True, help="Create, list and revoke keys for the admin API.")

MAX_NAME = 100


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="admin-key")


@group.callback()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Name of the key in the list and in the audit.")] = "admin",
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Default: it never expires.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Create, list and revoke keys for the admin API. Without a command it creates a key and prints it once."""
    if context.invoked_subcommand:
        return
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInputError(f"The name of a key must have 1 to {MAX_NAME} printable characters.")
    lifetime = timedelta(days=expires_in_days) if expires_in_days else None
    with open_services(get_settings()) as services:
        require_schema(services)
        key, secret = asyncio.run(_create(services.addresses, name.strip(), lifetime))
    print_result(secret, {**_shown(key), "key": secret}, as_json=as_json)
    typer.echo("Store the key now. It is not shown again. Send it as 'Authorization: Bearer <key>'.", err=True)


@group.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """Show every admin key, also revoked and expired ones."""
    with open_services(get_settings()) as services:
        require_schema(services)
        keys = asyncio.run(_list(services.addresses))
    if as_json:
        print_json([_shown(key) for key in keys])
        return
    rows = []
    for key in keys:
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        rows.append((key.id, key.name, key.hint, f"{key.created_at:%Y-%m-%d %H:%M}", used, _state(key)))
    print_table(("id", "name", "last characters", "created", "last used", "state"), rows)


@group.command("revoke")
def revoke(
    key_id: Annotated[UUID, typer.Argument(metavar="ID", help="Id that `admin-key list` shows.")],
    *,
    as_json: Json = False,
) -> None:
    """Revoke a key. It stops working at once."""
    with open_services(get_settings()) as services:
        require_schema(services)
        name = asyncio.run(_revoke(services.addresses, key_id))
    print_result(f"{key_id} ({name}) is revoked", {"id": key_id, "name": name, "state": "revoked"}, as_json=as_json)


def _shown(key: AdminKey) -> dict[str, Any]:
    times = {name: getattr(key, name) for name in ("created_at", "last_used_at", "expires_at", "revoked_at")}
    return {"id": key.id, "name": key.name, "hint": key.hint, "state": _state(key), **times}


def _state(key: AdminKey) -> str:
    if key.revoked_at:
        return "revoked"
    if not key.is_active(clock.now()):
        return "expired"
    return f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "active"


async def _create(addresses: ServiceAddresses, name: str, lifetime: timedelta | None) -> tuple[AdminKey, str]:
    async with _keys(addresses) as keys:
        return await keys.create(name, lifetime=lifetime)


async def _list(addresses: ServiceAddresses) -> list[AdminKey]:
    async with _keys(addresses) as keys:
        return list(await keys.list_all())


async def _revoke(addresses: ServiceAddresses, key_id: UUID) -> str:
    async with _keys(addresses) as keys:
        return (await keys.revoke(key_id)).name


@asynccontextmanager
async def _keys(addresses: ServiceAddresses) -> AsyncGenerator[AdminKeyService]:
    database = Database(addresses.admin_url, pool_size=1, application_name="ignite-cli")
    try:
        async with database.operator() as session:
            yield AdminKeyService(session, get_settings())
    finally:
        await database.close()

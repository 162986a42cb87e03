"""`cli.py tenants`: list and create tenants."""

from __future__ import annotations

from typing import Annotated

import typer

from fastapi_ignite.cli.connection import AdminKey, Url, connect_as_admin
from fastapi_ignite.cli.output import Json, print_json, print_result, print_table
from fastapi_ignite.core.errors import ConfigurationError

group = typer.Typer(no_args_is_help=True, help="List and create tenants.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="tenants")


@group.command("list")
def list_tenants(
    name: Annotated[str | None, typer.Option(help="Only those whose name contains this.")] = None,
    url: Url = None,
    admin_key: AdminKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Show every tenant. This needs an admin key."""
    if not admin_key:
        raise ConfigurationError(
            "There is no admin key. 'export IGNITE_ADMIN_KEY=$(python cli.py admin-key)' makes one, where the database "
            "can be reached."
        )
    with connect_as_admin(url, admin_key) as client:
        tenants = list(client.pages("/admin/tenants", "tenants", name=name))
    if as_json:
        print_json(tenants)
        return
    columns = ("id", "name", "plan_id", "status", "created_at")
    rows = [[tenant[column] or "" for column in columns] for tenant in tenants]
    print_table(("id", "name", "plan", "status", "created"), rows)


@group.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    plan: Annotated[str, typer.Option(help="Id of its plan; `plans list` shows them.")] = "hobby",
    cycle: Annotated[str, typer.Option(help="monthly or annual.")] = "monthly",
    url: Url = None,
    admin_key: AdminKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Create a tenant with a plan, and print its id. In production this needs an admin key."""
    with connect_as_admin(url, admin_key) as client:
        tenant = client.post("/tenants/create", name=name, plan_id=plan, billing_cycle=cycle)
    print_result(tenant["tenant_id"], tenant, as_json=as_json)

"""`cli.py status`: show the plan, the quotas and the projects of a tenant."""

from __future__ import annotations

from typing import Any

import typer
from rich.filesize import decimal

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.connection import Tenant, Token, Url, connect
from fastapi_ignite.cli.output import Json, plain, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(url: Url = None, token: Token = None, tenant: Tenant = None, *, as_json: Json = False) -> None:
    """Show the plan of a tenant, what is left of it, its projects, and their files."""
    with connect(url, token, tenant) as client:
        state = _read(client)
    if as_json:
        print_json(state)
    else:
        _print(state)


def _read(client: ApiClient) -> dict[str, Any]:
    projects = client.pages("/ingestion/projects", "projects")
    return {
        "url": client.base_url,
        "tenant": client.get("/tenants/current"),
        "limits": client.get("/limits/current"),
        "projects": [client.get(f"/ingestion/projects/{project['id']}") for project in projects],
    }


def _print(state: dict[str, Any]) -> None:
    tenant, limits = state["tenant"], state["limits"]
    typer.echo(f"{state['url']}\ntenant {tenant['id']} ({plain(tenant['name'])})")
    if limits["subscribed"]:
        caps, usage = limits["limits"], limits["usage"]
        typer.echo(f"plan {plain(limits['plan_name'])}, quotas until {limits['quota_period_end']}")
        used = (
            ("projects", usage["projects"], caps["max_projects"]),
            ("messages", usage["messages_used"], caps["monthly_message_cap"]),
            ("characters", usage["chars_uploaded"], caps["monthly_upload_char_cap"]),
        )
        print_table(
            ("quota", "used", "of", "left"),
            [[name, f"{count:,}", f"{cap:,}", f"{max(cap - count, 0):,}"] for name, count, cap in used],
        )
    else:
        typer.echo("no plan: the tenant can read, but neither upload nor ask")
    rows = []
    for project in state["projects"]:
        files = project["files"]
        rows.append(
            [
                project["id"],
                project["name"],
                *(f"{files[key]:,}" for key in ("completed", "in_progress", "failed", "cancelled")),
                decimal(project["stored_bytes"]),
            ]
        )
    if rows:
        print_table(("project", "name", "completed", "in progress", "failed", "cancelled", "stored"), rows)
    else:
        typer.echo("no projects")

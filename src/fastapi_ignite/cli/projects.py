"""`cli.py projects`: list and create the projects of a tenant."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import typer

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.connection import Tenant, Token, Url, connect
from fastapi_ignite.cli.output import Json, print_json, print_result, print_table
from fastapi_ignite.core.errors import InvalidInputError

group = typer.Typer(no_args_is_help=True, help="List and create the projects of a tenant.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="projects")


@group.command("list")
def list_projects(url: Url = None, token: Token = None, tenant: Tenant = None, *, as_json: Json = False) -> None:
    """Show every project of the tenant."""
    with connect(url, token, tenant) as client:
        projects = list(client.pages("/ingestion/projects", "projects"))
    if as_json:
        print_json(projects)
        return
    columns = ("id", "name", "engine", "created_at")
    rows = [[project[column] or "" for column in columns] for project in projects]
    print_table(("id", "name", "engine", "created"), rows)


@group.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    url: Url = None,
    token: Token = None,
    tenant: Tenant = None,
    *,
    as_json: Json = False,
) -> None:
    """Create a project, or find the one that has this name, and print its id."""
    with connect(url, token, tenant) as client:
        project = client.post("/ingestion/projects/create", name=name)
    print_result(project["id"], project, as_json=as_json)


def find_project(client: ApiClient, given: str, *, create: bool = False) -> dict[str, Any]:
    """Return the project with this id or name; with `create`, create it if there is none of this name.

    Raises:
        InvalidInputError: There is no such project.
    """
    with suppress(ValueError):
        return client.get(f"/ingestion/projects/{UUID(given)}")
    for project in client.pages("/ingestion/projects", "projects", name=given):
        if project["name"] == given:
            return project
    if create:
        return client.post("/ingestion/projects/create", name=given)
    raise InvalidInputError(
        f"There is no project {given!r}. 'projects list' shows the names and ids; `ingest --create` creates one."
    )

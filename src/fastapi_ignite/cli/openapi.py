"""`cli.py openapi`."""

from __future__ import annotations

import typer

from fastapi_ignite.cli.output import Json, print_json
from fastapi_ignite.core.config import default_settings


def register(app: typer.Typer) -> None:
    app.command("openapi")(openapi)


def openapi(*, as_json: Json = True) -> None:  # noqa: ARG001  # it prints nothing but JSON
    """Print the OpenAPI document of an installation with default settings."""
    from fastapi_ignite.main import create_app  # noqa: PLC0415  # the help of all commands needs no application

    print_json(create_app(default_settings()).openapi())

"""`cli.py openapi`."""

from __future__ import annotations

import json

import typer

from fastapi_ignite.core.config import default_settings


def register(app: typer.Typer) -> None:
    app.command("openapi")(openapi)


def openapi() -> None:
    """Print the OpenAPI document of an installation with default settings."""
    from fastapi_ignite.main import create_app  # noqa: PLC0415  # the help of all commands needs no application

    typer.echo(json.dumps(create_app(default_settings()).openapi(), indent=2, ensure_ascii=False))

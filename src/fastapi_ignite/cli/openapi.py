"""`cli.py openapi`."""

from __future__ import annotations

import json

import typer

from fastapi_ignite.core.config import default_settings
from fastapi_ignite.main import create_app


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("openapi")(openapi)


def openapi() -> None:
    """Print the OpenAPI document of a default installation."""
    typer.echo(json.dumps(create_app(default_settings()).openapi(), indent=2, ensure_ascii=False))

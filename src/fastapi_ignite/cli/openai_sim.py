"""`cli.py openai-sim`."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from fastapi_ignite.cli.ports import require_free_port
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.logging import configure_logging


def register(app: typer.Typer) -> None:
    app.command("openai-sim")(openai_sim)


def openai_sim(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8100,
    state: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File that keeps the state over restarts. Default: memory only.")
    ] = None,
) -> None:
    """Run a simulator of the OpenAI API, for development and tests."""
    settings = get_settings()
    if settings.app.production:
        raise ConfigurationError("The OpenAI simulator does not run with ENV=production.")
    if find_spec("openai_simulator") is None:
        raise ConfigurationError("The OpenAI simulator is not installed. Run: pip install ./packages/openai-simulator")
    from openai_simulator.server import LOOPBACK, serve  # noqa: PLC0415  # the help of all commands needs none

    require_free_port(LOOPBACK, port)
    configure_logging(settings)
    asyncio.run(serve(port, state))

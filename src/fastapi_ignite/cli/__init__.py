"""The command line: one module a group of commands."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fastapi_ignite.cli import database, doctor, openapi, plans, processes, stack, tokens
from fastapi_ignite.core.errors import IgniteError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="FastAPI-Ignite.")
processes.register(app)
stack.register(app)
tokens.register(app)
doctor.register(app)
openapi.register(app)
app.add_typer(database.app, name="db")
app.add_typer(plans.app, name="plans")


def run() -> None:
    """What goes wrong is said in one clear line; a traceback means a bug of ours."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app()
    except IgniteError as error:
        for line in error.detail.splitlines():
            console.print(f"error: {line}", style="red", markup=False)
        sys.exit(1)
    except (DBAPIError, OSError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
        console.print(f"error: {reason}", style="red", markup=False)
        sys.exit(1)
    except SQLAlchemyError as error:
        console.print(f"error: {type(error).__name__}: {str(error).splitlines()[0]}", style="red", markup=False)
        sys.exit(1)

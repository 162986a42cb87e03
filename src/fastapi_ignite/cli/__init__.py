"""The command line. Each group of commands has its own module, imported only when one of them is called."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.outages import outage_of, reason_of
from fastapi_ignite.infra.heap import limit_heap

# Importing the whole program takes seconds, and `down` and `token` need little of it.
MODULES = {
    "up": "up",
    "down": "stack",
    "demo": "demo",
    "api": "processes",
    "worker": "processes",
    "scheduler": "processes",
    "db": "database",
    "token": "tokens",
    "admin-key": "admin_keys",
    "plans": "plans",
    "doctor": "doctor",
    "openapi": "openapi",
    "openai-sim": "openai_sim",
    "settings": "settings",
    "jobs": "jobs",
}


def build_app(command: str | None = None) -> typer.Typer:
    """Build the command line with the module of `command`, or with all modules for help and unknown commands."""
    app = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="FastAPI-Ignite."
    )
    app.callback()(_options)
    for module in dict.fromkeys([MODULES[command]] if command in MODULES else MODULES.values()):
        import_module(f"fastapi_ignite.cli.{module}").register(app)
    return app


def _options() -> None:
    """FastAPI-Ignite."""


def run() -> None:
    """Run the command. An expected error is printed as one line; a traceback means a bug in the program."""
    limit_heap()
    try:
        build_app(sys.argv[1] if len(sys.argv) > 1 else None)()
    except IgniteError as error:
        _fail(error.detail)
    except Exception as error:
        if outage := outage_of(error):
            _fail(f"{outage.detail} ({reason_of(error)})")
        if not isinstance(error, OSError) and not _is_from_server(error):
            raise
        _fail(reason_of(error) if _is_from_server(error) else str(error))


def _is_from_server(error: Exception) -> bool:
    """Tell whether a database client raised it. The clients are not imported, as a command may not use them."""
    bases = (("sqlalchemy.exc", "SQLAlchemyError"), ("redis.exceptions", "RedisError"))
    known = (getattr(sys.modules.get(module), name, None) for module, name in bases)
    return isinstance(error, tuple(base for base in known if base is not None))


def _fail(detail: str) -> None:
    from rich.console import Console  # noqa: PLC0415  # it takes 2 MB, which `up` would keep as long as it runs

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in detail.splitlines():
        console.print(f"error: {line}", style="red", markup=False)
    sys.exit(1)

"""The command line. Each group of commands has its own module, imported only when one of them is called."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from fastapi_ignite import __version__
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.outages import outage_of, reason_of
from fastapi_ignite.infra.heap import limit_heap

if TYPE_CHECKING:
    from fastapi_ignite.cli.api_client import Problem


class Command(NamedTuple):
    """A command of the program, or a group of commands: its module in this package, and its line in the help."""

    module: str
    summary: str


# The help of all commands is printed from this table: importing all of their modules takes a second.
COMMANDS = {
    "up": Command("up", "Run servers, migrations, API, worker and scheduler in the foreground. Ctrl-C stops them."),
    "down": Command(
        "stack", "Stop the stack that `up` or `demo` started on this data folder, and wait until it has ended."
    ),
    "demo": Command(
        "demo", "Start everything in the background, ingest the sample documents, ask a question, and keep it running."
    ),
    "logs": Command(
        "logs", "Print the log of the stack that `demo` runs in the background. `up` prints its log itself."
    ),
    "api": Command("processes", "Serve the API."),
    "worker": Command("processes", "Process uploaded files, exports and other background jobs."),
    "scheduler": Command("processes", "Run the periodic jobs."),
    "db": Command("database", "Create, migrate, reset and check the database schema."),
    "ingest": Command("ingest", "Send files and folders to a project, and say which files failed and why."),
    "ask": Command("query", "Ask a question about the files of a project, and print the answer with its quotes."),
    "search": Command("query", "Find the passages of a project that match best. No model is called."),
    "status": Command("status", "Show the plan of a tenant, what is left of it, its projects, and their files."),
    "projects": Command("projects", "List and create the projects of a tenant."),
    "tenants": Command("tenants", "List and create tenants."),
    "token": Command("tokens", "Print a bearer token for a tenant, signed with JWT_SECRET."),
    "admin-key": Command("admin_keys", "Create, list and revoke keys for the admin API."),
    "eval": Command("evaluate", "Measure search and answers on documents with known answers."),
    "plans": Command("plans", "List and change subscription plans."),
    "doctor": Command(
        "doctor", "Check what the program needs, and say what to do. The exit code is 1 if something does not work."
    ),
    "openapi": Command("openapi", "Print the OpenAPI document of an installation with default settings."),
    "openai-sim": Command("openai_sim", "Run a simulator of the OpenAI API, for development and tests."),
    "settings": Command("settings", "Print every setting with its default and its meaning."),
    "jobs": Command("jobs", "Print every job and periodic job."),
    "completion": Command(
        "completion",
        "Print a script for your shell, which then completes commands and options. `source` it when a shell starts.",
    ),
}


def build_app(name: str | None = None) -> typer.Typer:
    """Build the command line with the module of the command `name`.

    For the help of the program, and for a name that is no command's, the commands only have their summaries.
    """
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="FastAPI-Ignite.")
    app.callback()(_options)
    if name in COMMANDS:
        import_module(f"fastapi_ignite.cli.{COMMANDS[name].module}").register(app)
        return app
    for listed, command in COMMANDS.items():
        app.command(listed, help=command.summary)(_no_options)
    return app


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"FastAPI-Ignite {__version__}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[  # its callback prints it
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """FastAPI-Ignite."""


def _no_options() -> None:
    """Stand for a command in the list of commands, without importing its module."""


def _named_command() -> str | None:
    """Return the command of this call or, if a shell asks for completions, that of the line which it completes."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    words = sys.argv if len(sys.argv) > 1 else line.split()
    return words[1] if len(words) > 1 else None


def run() -> None:
    """Run the command. An expected error is printed as one line; a traceback means a bug in the program."""
    limit_heap()
    try:
        build_app(_named_command())()
    except IgniteError as error:
        _fail(error.detail, getattr(error, "problem", None))
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


def _fail(detail: str, problem: Problem | None = None) -> None:
    """Print an error and exit. `problem` is the answer of the server if it refused a request."""
    if "--json" in sys.argv:
        told = {"code": problem.code, "status": problem.status, "request_id": problem.request_id} if problem else {}
        typer.echo(
            json.dumps({"error": {"detail": problem.detail if problem else detail, **told}}, ensure_ascii=False),
            err=True,
        )
        sys.exit(1)
    from rich.console import Console  # noqa: PLC0415  # it takes 2 MB, which `up` would keep as long as it runs

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in detail.splitlines():
        console.print(f"error: {line}", style="red", markup=False)
    sys.exit(1)

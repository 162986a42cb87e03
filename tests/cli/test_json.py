"""Tests that commands print JSON on request."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from fastapi_ignite import __version__
from fastapi_ignite.cli import COMMANDS, build_app
from fastapi_ignite.core.config import PROJECT_ROOT
from support.command_line import CommandLine

# They run until they are stopped, and print what they log.
PROGRAMS = {"up", "api", "worker", "openai-sim"}


def leaves(name: str) -> Iterator[tuple[str, list[str]]]:
    """Return each command below a name, with its options."""
    command = get_command(build_app(name)).commands[name]  # type: ignore[attr-defined]  # a group
    below = {f"{name} {sub}": leaf for sub, leaf in getattr(command, "commands", {}).items()}
    for path, leaf in ({name: command} | below).items():
        if not getattr(leaf, "commands", None) or leaf.invoke_without_command:
            yield path, [option for parameter in leaf.params for option in parameter.opts]


def test_every_command_that_prints_a_result_can_print_json() -> None:
    options = dict(leaf for name in COMMANDS for leaf in leaves(name))
    assert {"plans list", "db vector-indexes", "admin-key", "admin-key list", "ingest", "doctor"} < options.keys()
    assert {path for path, known in options.items() if "--json" not in known} == PROGRAMS


@pytest.mark.parametrize(
    "command",
    [
        ("plans", "list"),
        ("plans", "set", "json", "--max-projects", "1", "--message-cap", "1", "--upload-char-cap", "1"),
        ("admin-key",),
        ("admin-key", "list"),
        ("db", "migrate"),
        ("db", "init"),
        ("db", "vector-indexes"),
        ("token", "2cb9e69e-6fe7-4f5c-8f4d-5a9c6a2bd5d4"),
        ("down",),
        ("settings",),
        ("jobs",),
        ("scheduler", "--list"),
        ("completion", "bash"),
        ("openapi",),
    ],
    ids=" ".join,
)
def test_the_output_is_json_and_nothing_else(commands: CommandLine, command: tuple[str, ...]) -> None:
    assert json.loads(commands.run(*command, "--json").succeeded()) is not None


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    package = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert package["version"] == __version__
    assert CommandLine(tmp_path).run("--version").succeeded() == f"FastAPI-Ignite {__version__}\n"

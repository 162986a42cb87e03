"""`cli.py settings`: print every variable with its default. The repository holds the output in two files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fastapi_ignite.cli.output import Json, print_json
from fastapi_ignite.core.config import sections, variable_name
from fastapi_ignite.core.sections import Section

ENV_HEAD = """\
# Every setting with its default (`cli.py settings --format env` prints this file). Copy it to .env and change what
# you need. Environment variables override the file. Settings that are commented out have no default. Without changes
# the program starts its own PostgreSQL and Valkey.
"""
MARKDOWN_HEAD = """\
# Configuration

Every setting is an environment variable. The program also reads `.env` in the working directory; environment variables
override it. If a value is wrong, the program stops and prints the name of the variable and the rule for its value.
`python cli.py settings` prints this page.
"""


class Format(StrEnum):
    MARKDOWN = "markdown"
    ENV = "env"


def register(app: typer.Typer) -> None:
    app.command("settings")(settings)


def settings(
    output: Annotated[
        Format, typer.Option("--format", help="markdown for docs/configuration.md, env for .env.example.")
    ] = Format.MARKDOWN,
    *,
    as_json: Json = False,
) -> None:
    """Print every setting with its default and its meaning."""
    if as_json:
        print_json(list(_rows()))
    else:
        typer.echo("\n".join(_env() if output is Format.ENV else _markdown()))


def _rows() -> Iterator[dict[str, str]]:
    for section in sections().values():
        for name, field in section.model_fields.items():
            yield {
                "variable": variable_name(section, name),
                "default": _default(field),
                "meaning": f"{field.description}{_bounds(field)}",
                "section": _title(section),
            }


def _env() -> Iterator[str]:
    yield ENV_HEAD.rstrip()
    for section in sections().values():
        yield ""
        yield f"# {_title(section)}"
        for name, field in section.model_fields.items():
            yield f"# {field.description}{_bounds(field)}"
            mark = "" if field.default is not None else "#"
            yield f"{mark}{variable_name(section, name)}={_default(field)}"


def _markdown() -> Iterator[str]:
    yield MARKDOWN_HEAD.rstrip()
    for section in sections().values():
        yield ""
        yield f"## {_title(section)}"
        yield ""
        yield "| variable | default | meaning |"
        yield "| --- | --- | --- |"
        for name, field in section.model_fields.items():
            default = f"`{_default(field)}`" if _default(field) else ""
            yield f"| `{variable_name(section, name)}` | {default} | {field.description}{_bounds(field)} |"


def _title(section: type[Section]) -> str:
    return (section.__doc__ or "").split("\n", maxsplit=1)[0].rstrip(".")


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    text = str(value)
    return json.dumps(text) if " " in text else text


def _bounds(field: FieldInfo) -> str:
    """Return the allowed values of a field, if they are a short list or a range of numbers."""
    for part in (field.annotation, *get_args(field.annotation)):
        if get_origin(part) is Literal:
            return " One of " + ", ".join(f"`{value}`" for value in get_args(part)) + "."
    low = next((item.ge for item in field.metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in field.metadata if hasattr(item, "le")), None)
    return "" if low is None or high is None else f" {low:,} to {high:,}."

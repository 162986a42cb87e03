"""Prints the results of commands, as tables that cut nothing or as JSON."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
CELL_BORDERS = 3  # two spaces and a line


def print_json(value: Any) -> None:
    """Print a value as JSON; ids, times and other values as their text."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_result(text: str, value: Any, *, as_json: bool) -> None:
    """Print what a command has done, as text or as JSON."""
    if as_json:
        print_json(value)
    else:
        typer.echo(text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table, or one value a line if the terminal is too narrow. Nothing is cut."""
    # `up` also imports this module, and would keep rich's 2 MB as long as it runs
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    texts = [[plain(str(value)) for value in row] for row in rows]
    console = Console(highlight=False, soft_wrap=True)
    widths = [max(map(cell_len, column)) for column in zip(columns, *texts, strict=True)]
    width = sum(widths) + CELL_BORDERS * len(widths) + 1
    if width > console.width and (console.is_terminal or "COLUMNS" in os.environ):
        _print_records(console, columns, texts)
        return
    table = Table(*columns)
    for row in texts:
        table.add_row(*map(escape, row))
    console.width = max(width, console.width)
    console.print(table)


def plain(text: str) -> str:
    """Replace the control characters of a text that others wrote, because a terminal would obey them."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(each) in {"Cc", "Cs"} and each not in "\n\t" else each
        for each in text
    )


def _print_records(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            console.print()
        for column, value in zip(columns, row, strict=True):
            console.print(f"{column}: {value}", markup=False)

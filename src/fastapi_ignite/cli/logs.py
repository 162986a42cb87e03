"""`cli.py logs`: print the log of the stack that runs in the background."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from fastapi_ignite.cli.output import Json
from fastapi_ignite.cli.stack import log_file
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import ConfigurationError, InvalidInputError

from embedded_services.logfiles import older_log

LEVELS = ("debug", "info", "warning", "error", "critical")
FOLLOW_SECONDS = 0.2
_PREFIX = re.compile(r"([a-z]+) +\| ")
_LEVEL = re.compile(r"\[(debug|info|warning|error|critical) *\]")


class LogLine(NamedTuple):
    """A line of the log. One without a level, like those of a traceback, has the level of the line before it."""

    process: str
    level: str
    text: str

    def printed(self, *, as_json: bool) -> str:
        return json.dumps(self._asdict(), ensure_ascii=False) if as_json else f"{self.process:<10} | {self.text}"


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)


def logs(
    *,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="Number of lines to begin with.")
    ] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines. Ctrl-C ends it.")] = False,
    process: Annotated[
        list[str] | None, typer.Option(help="Only lines of this process, like api or worker. It may be repeated.")
    ] = None,
    level: Annotated[str, typer.Option(help="Only lines of this level or a more serious one.")] = "debug",
    as_json: Json = False,
) -> None:
    """Print the log of the stack that `demo` runs in the background. `up` prints its log itself."""
    if level.lower() not in LEVELS:
        raise InvalidInputError(f"--level must be one of {', '.join(LEVELS)}.")
    path = log_file(get_settings())
    if not path.is_file():
        raise ConfigurationError(
            f"There is no log at {path}. 'python cli.py demo' writes one; 'python cli.py up' prints its log itself."
        )
    levels = LEVELS[LEVELS.index(level.lower()) :]

    def wanted(texts: Iterable[str]) -> Iterator[LogLine]:
        return (line for line in _parsed(texts) if line.level in levels and (not process or line.process in process))

    end = path.stat().st_size
    for line in deque(wanted(_kept_lines(path, end)), maxlen=lines):
        typer.echo(line.printed(as_json=as_json))
    if follow:
        with suppress(KeyboardInterrupt):
            for line in wanted(_new_lines(path, end)):
                typer.echo(line.printed(as_json=as_json))


def _kept_lines(path: Path, end: int) -> Iterator[str]:
    """Yield the lines of the log up to a position, after those of the file that was put aside last."""
    older = older_log(path, 1)
    if older.is_file():
        with older.open(encoding="utf-8", errors="replace") as file:
            yield from file
    with path.open("rb") as file:
        yield from file.read(end).decode("utf-8", "replace").splitlines()


def _new_lines(path: Path, position: int) -> Iterator[str]:
    """Yield complete lines as they are written. A file that became shorter was put aside and begins anew."""
    rest = b""
    while True:
        with path.open("rb") as file:
            if position > path.stat().st_size:
                position = 0
            file.seek(position)
            *complete, rest = (rest + file.read()).split(b"\n")
            position = file.tell()
        yield from (line.decode("utf-8", "replace") for line in complete)
        time.sleep(FOLLOW_SECONDS)


def _parsed(texts: Iterable[str]) -> Iterator[LogLine]:
    levels: dict[str, str] = {}
    for text in texts:
        prefix = _PREFIX.match(text)
        process = prefix[1] if prefix else "up"
        said = text[prefix.end() if prefix else 0 :].rstrip("\n")
        levels[process] = _level(said) or levels.get(process, "info")
        yield LogLine(process, levels[process], said)


def _level(text: str) -> str | None:
    """Return the level of a line: production writes JSON, development text."""
    if text.startswith("{"):
        with suppress(ValueError):
            level = json.loads(text).get("level")
            return level if level in LEVELS else None
    found = _LEVEL.search(text)
    return found[1] if found else None

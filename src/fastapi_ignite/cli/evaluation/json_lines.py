"""Reads files in JSON lines, with messages that name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi_ignite.cli.evaluation.datasets import DatasetError


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a file in JSON lines, each with its place for messages.

    Raises:
        DatasetError: the file is missing, or a line is not a JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise DatasetError(f"{path}, line {number}: it is not a JSON object.")
                yield f"{path}, line {number}", value
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"{path}: it is not in JSON lines and UTF-8: {error}") from None


def text_of(line: Mapping[str, Any], key: str, place: str, default: str | None = None) -> str:
    """Return the text that the line has under this key.

    Raises:
        DatasetError: there is none.
    """
    value = line.get(key, default)
    if not isinstance(value, str):
        raise DatasetError(f"{place}: {key!r} is missing or is not a text.")
    return value

"""Text in JSON bodies that no database stores: refused once for every operation, whatever its fields are.

JSON may escape half of a surrogate pair, which is no character and has no UTF-8 (RFC 8259, section 8.2), and NUL, which
PostgreSQL does not store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect

# What an unstorable string needs: an escape of one, bytes of a surrogate, or a body in UTF-16 or UTF-32, full of zeros.
# Bodies without it, nearly all, are not looked through.
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)|\xed[\xa0-\xbf]|\x00")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# a name or a number, and the place around it: thousands of values in a deep place share what is around them
_Place = tuple[Any, str | int] | None
MAX_REPORTED_DEPTH = 20


async def require_storable_text(request: Request) -> None:
    """Look through the body of an operation that takes JSON.

    Raises:
        RequestValidationError: a string or a name in it cannot be stored; `loc` is where it stands.
    """
    try:
        if not _SUSPECT.search(await request.body()):
            return
        body = await request.json()
    except (ValueError, RecursionError, ClientDisconnect):
        return  # no JSON, or not all of it, which the operation's own reading says
    for place in _unstorable(body):
        problem = "NUL and halves of surrogate pairs are no text"
        raise RequestValidationError([{"type": "string_unicode", "loc": ("body", *_path(place)), "msg": problem}])


def _unstorable(body: Any) -> Iterator[_Place]:
    """Places of strings, and of objects with such a name. Not recursive: a body may be as deep as it is long."""
    waiting: list[tuple[_Place, Any]] = [(None, body)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            if _UNSTORABLE.search(value):
                yield place
        elif isinstance(value, list):
            waiting.extend(((place, index), item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            if any(_UNSTORABLE.search(name) for name in value):
                yield place
            waiting.extend(((place, name), item) for name, item in value.items())


def _path(place: _Place) -> list[str | int]:
    path: list[str | int] = []
    while place is not None:
        place, name = place
        path.append(name)
    return path[::-1][:MAX_REPORTED_DEPTH]

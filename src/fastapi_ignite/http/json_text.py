"""Refuse text in JSON bodies that PostgreSQL cannot store, in one place for every operation.

JSON may contain a lone surrogate, which is no character and has no UTF-8 form (RFC 8259, section 8.2), and NUL, which
PostgreSQL does not store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect

# Bytes without which no string can be unstorable: an escape, the bytes of a surrogate, or a zero (UTF-16, UTF-32).
# Most bodies have none of them and are not searched further.
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)|\xed[\xa0-\xbf]|\x00")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# a linked list: a name or an index, and the place around it; thousands of deep values share their outer places
_Place = tuple[Any, str | int] | None
MAX_REPORTED_DEPTH = 20


async def require_storable_text(request: Request) -> None:
    """Check all strings of a JSON body.

    Raises:
        RequestValidationError: a string or a member name cannot be stored; `loc` is its place.
    """
    try:
        if not _SUSPECT.search(await request.body()):
            return
        body = await request.json()
    except (ValueError, RecursionError, ClientDisconnect):
        return  # malformed or incomplete JSON is reported when the operation parses it
    for place in _unstorable(body):
        problem = "NUL characters and lone surrogates are not allowed"
        raise RequestValidationError([{"type": "string_unicode", "loc": ("body", *_path(place)), "msg": problem}])


def is_storable(value: Any) -> bool:
    """Tell whether PostgreSQL can store all strings of a JSON value."""
    return next(_unstorable(value), True) is True


def _unstorable(body: Any) -> Iterator[_Place]:
    """Yield the places of unstorable strings and names. It is not recursive, as a body may be very deep."""
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

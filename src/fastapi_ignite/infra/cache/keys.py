"""Keys and tags: a literal name, then values that can neither collide nor break out of their place."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

SHARED = "-"  # stands where a tenant's id would
MAX_NAME_LENGTH = 200
MAX_PLAIN_DIGITS = 40
_TEMPLATE = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*(?::[A-Za-z][\w.-]*)*)(?P<parameters>(?::\{[A-Za-z_]\w*\})*)", re.ASCII
)


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """`name:{parameter}:{parameter}`."""

    name: str
    parameters: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises: ValueError: the text is not of this form."""
        match = _TEMPLATE.fullmatch(text)
        if match is None or len(match["name"]) > MAX_NAME_LENGTH:
            raise ValueError(f"{text!r} is not of the form name:{{parameter}}, the name in plain ASCII")
        return cls(match["name"], tuple(re.findall(r"\{(\w+)\}", match["parameters"])))

    def values(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments this template names, in key form."""
        return tuple(key_value(arguments[parameter]) for parameter in self.parameters)


def tenant_part(tenant_id: UUID | None) -> str:
    """Null is what belongs to no tenant."""
    return str(tenant_id) if tenant_id else SHARED


def entry_key(name: str, version: str, tenant_id: UUID | None, values: Sequence[str]) -> str:
    """The key of an entry."""
    return ":".join((name, version, tenant_part(tenant_id), *values))


def tag(name: str, *values: Any, tenant_id: UUID | None) -> str:
    """A tag of one tenant, or of none: no tenant can reach another's."""
    return ":".join((tenant_part(tenant_id), name, *(key_value(value) for value in values)))


def key_value(value: Any) -> str:
    """A short ASCII text without separators; equal only for equal values of one type.

    Raises:
        TypeError: the value has no such form; a session or a service is no part of a key.
    """
    if value is None or value is True or value is False:
        return json.dumps(value)
    if isinstance(value, UUID):
        return str(value)
    if type(value) is int and len(plain := str(value)) <= MAX_PLAIN_DIGITS:
        return plain
    text = json.dumps(_canonical(value), sort_keys=True)
    return "h" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _canonical(value: Any) -> Any:  # noqa: PLR0911  a line for each kind of value
    """JSON in which values of different types never look alike."""
    match value:
        case Enum():
            return ["enum", _name(value), _canonical(value.value)]
        case None | bool() | str():
            return value
        case int() | float() | Decimal():
            return [type(value).__name__, str(value)]
        case UUID():
            return ["uuid", str(value)]
        case datetime() | date() | time():
            return [_time_kind(value), value.isoformat()]
        case timedelta():
            return ["timedelta", value.total_seconds()]
        case bytes():
            return ["bytes", value.hex()]
    return _canonical_whole(value)


def _canonical_whole(value: Any) -> Any:
    match value:
        case BaseModel():
            return ["model", _name(value), _canonical(dict(value))]
        case Mapping():
            return ["map", _ordered([_canonical(key), _canonical(item)] for key, item in value.items())]
        case list() | tuple():
            return ["list", [_canonical(item) for item in value]]
        case AbstractSet():
            return ["set", _ordered(_canonical(item) for item in value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return ["dataclass", _name(value), _canonical(fields)]
    raise TypeError(f"a {_name(value)} cannot be part of a cache key: name the parameters that can in key=")


def _time_kind(value: date | time) -> str:
    if isinstance(value, datetime):
        return "datetime"
    return "date" if isinstance(value, date) else "time"


def _ordered(items: Any) -> list[Any]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"

"""Keys and tags: a literal name, then values that can neither collide nor break out of their place."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

EVERY_ENTRY = "~all"  # the tag that every entry carries
SHARED = "-"  # stands where a tenant's id would
MAX_NAME_LENGTH = 200
MAX_PLAIN_DIGITS = 40
_TEMPLATE = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*(?::[A-Za-z][\w.-]*)*)(?P<parameters>(?::\{[A-Za-z_]\w*\})*)", re.ASCII
)


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """`name:{parameter}:{parameter}`, from which a key or a tag is made."""

    name: str
    parameters: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template; a text of another form raises `ValueError`."""
        match = _TEMPLATE.fullmatch(text)
        if match is None or len(match["name"]) > MAX_NAME_LENGTH:
            raise ValueError(f"{text!r} is not of the form name:{{parameter}}, the name in plain ASCII")
        return cls(match["name"], tuple(re.findall(r"\{(\w+)\}", match["parameters"])))

    def tag(self, arguments: Mapping[str, Any], tenant_id: UUID | None) -> str:
        return tag(self.name, *(arguments[name] for name in self.parameters), tenant_id=tenant_id)


def entry_key(name: str, version: str, tenant_id: UUID | None, *values: str) -> str:
    return ":".join((name, version, str(tenant_id or SHARED), *values))


def tag(name: str, *values: Any, tenant_id: UUID | None) -> str:
    """Return a tag of one tenant, or of nobody. No tenant can reach a tag of another one."""
    return ":".join((str(tenant_id or SHARED), name, *map(key_value, values)))


def key_value(value: Any) -> str:
    """Return a short ASCII text without separators, which is equal only for equal values of one type.

    Raises:
        TypeError: the value has no such form. A session or a service cannot be part of a key.
    """
    if value is None or value is True or value is False:
        return json.dumps(value)
    if isinstance(value, UUID):
        return str(value)
    if type(value) is int and len(plain := str(value)) <= MAX_PLAIN_DIGITS:
        return plain
    return "h" + json_digest(_canonical(value))


def json_digest(value: Any) -> str:
    text = json.dumps(value)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _canonical(value: Any) -> Any:  # noqa: C901, PLR0911  a case for each kind of value
    """Return JSON in which values of different types never look alike."""
    match value:
        case Enum():
            return ["enum", _type_name(value), _canonical(value.value)]
        case None | bool() | str():
            return value
        case int() | float() | Decimal():
            return [type(value).__name__, str(value)]
        case UUID():
            return ["uuid", str(value)]
        case datetime() | date() | time():
            kind = next(kind for kind in (datetime, date, time) if isinstance(value, kind))
            return [kind.__name__, value.isoformat()]
        case timedelta():
            return ["timedelta", value.total_seconds()]
        case bytes():
            return ["bytes", value.hex()]
        case BaseModel():
            return ["model", _type_name(value), _canonical(dict(value))]
        case Mapping():
            return ["map", sorted(([_canonical(key), _canonical(item)] for key, item in value.items()), key=json.dumps)]
        case list() | tuple():
            return ["list", [_canonical(item) for item in value]]
        case AbstractSet():
            return ["set", sorted(map(_canonical, value), key=json.dumps)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return ["dataclass", _type_name(value), _canonical(fields)]
    raise TypeError(f"a {_type_name(value)} cannot be part of a cache key: name the parameters that can in key=")


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"

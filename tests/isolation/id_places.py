"""Every place of the API that takes an id, and requests built from the examples in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from support.feature_contracts import contracts
from support.http_contract import Operation, document, operations

# the names of parameters whose ids belong to no tenant
SHARED_IDS = frozenset[str]().union(*(each.shared_ids for each in contracts().values()))
_LOOKS_LIKE_AN_ID = re.compile(r".*[_-]ids?|after|before|cursor")
_SCHEMAS = document()["components"]["schemas"]
OPERATIONS = operations()


@dataclass(frozen=True, slots=True)
class Place:
    """A place where an operation takes the id of something that a tenant owns.

    `path` leads to the place in a JSON body, and `many` says that the place takes a list.
    """

    where: Literal["path", "query", "header", "json", "form"]
    name: str
    required: bool
    path: tuple[str, ...] = ()
    many: bool = False

    def __str__(self) -> str:
        return f"{self.where} {'.'.join(self.path) or self.name}"


def places(operation: Operation) -> list[Place]:
    """Return an operation's places for ids of tenants, in the order of the OpenAPI document."""
    found = [
        Place(parameter["in"], parameter["name"], parameter.get("required", False), many=_is_list(parameter["schema"]))
        for parameter in operation.definition.get("parameters", [])
        if _takes_an_id(parameter["name"], parameter["schema"])
    ]
    content = operation.definition.get("requestBody", {}).get("content", {})
    for media_type, where in (("application/json", "json"), ("multipart/form-data", "form")):
        if media_type in content:
            found += _in_body(content[media_type]["schema"], where)
    return [place for place in found if place.name not in SHARED_IDS]


def _in_body(
    schema: dict[str, Any], where: Any, path: tuple[str, ...] = (), around: frozenset[str] = frozenset()
) -> Iterator[Place]:
    """Yield the places in a body. `around` has the titles of the models around: one that holds itself is read once."""
    for choice in _choices(schema):
        title = choice.get("title", "")
        if title in around:
            continue
        inside = around | {title}
        for name, field in choice.get("properties", {}).items():
            if _takes_an_id(name, field):
                yield Place(where, name, name in choice.get("required", ()), (*path, name), _is_list(field))
            elif any(
                list(_in_body(inner.get("items", {}), where, around=inside))
                for inner in _choices(field)
                if _is_list(inner)
            ):
                raise NotImplementedError(f"ids of objects in a list: {name}")
            else:
                yield from _in_body(field, where, (*path, name), inside)


def _choices(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schemas to which references and alternatives lead."""
    if "$ref" in schema:
        yield from _choices(_SCHEMAS[schema["$ref"].rpartition("/")[2]])
        return
    alternatives = [choice for kind in ("anyOf", "oneOf", "allOf") for choice in schema.get(kind, [])]
    for choice in alternatives:
        yield from _choices(choice)
    if not alternatives:
        yield schema


def _is_list(schema: dict[str, Any]) -> bool:
    return any(choice.get("type") == "array" for choice in _choices(schema))


def _takes_an_id(name: str, schema: dict[str, Any]) -> bool:
    formats = {
        inner.get("format") for choice in _choices(schema) for inner in (choice, *_choices(choice.get("items", {})))
    }
    return "uuid" in formats or _LOOKS_LIKE_AN_ID.fullmatch(name) is not None


def request(operation: Operation, ids: Mapping[str, str], sent: Mapping[Place, str]) -> dict[str, Any]:
    """Return the arguments for a client's `request` method.

    A required place gets its value from `sent` or else from `ids`; an optional place only from `sent`. All other values
    are the examples of the OpenAPI document: an operation without examples cannot be called, so that its test fails.
    """
    values = {
        place: sent.get(place, ids.get(place.name)) for place in places(operation) if place.required or place in sent
    }
    made: dict[str, Any] = {"method": operation.method, "params": {}, "headers": {}}
    in_path = {place.name: value for place, value in values.items() if place.where == "path"}
    for parameter in operation.definition.get("parameters", []):
        name, schema = parameter["name"], parameter["schema"]
        if parameter.get("required") and (name in SHARED_IDS or not _takes_an_id(name, schema)):
            _put(made, in_path, parameter, schema["examples"][0])
    for place, value in values.items():
        if place.where in {"query", "header"}:
            made["params" if place.where == "query" else "headers"][place.name] = value
    _add_body(made, operation, values)
    return {**made, "url": operation.url(**in_path)}


def _put(made: dict[str, Any], in_path: dict[str, Any], parameter: dict[str, Any], value: Any) -> None:
    if parameter["in"] == "path":
        in_path[parameter["name"]] = value
    else:
        made["params" if parameter["in"] == "query" else "headers"][parameter["name"]] = value


def _add_body(made: dict[str, Any], operation: Operation, values: Mapping[Place, Any]) -> None:
    content = operation.definition.get("requestBody", {}).get("content", {})
    if operation.takes_json:
        body = deepcopy(next(iter(content["application/json"]["examples"].values()))["value"])
        for place in places(operation):
            if place.where == "json":
                _set(body, place, values.get(place))
        made["json"] = body
    elif operation.takes_files:
        (field,) = content["multipart/form-data"]["schema"]["required"]
        made["files"] = [(field, ("a.txt", b"A text of nobody's."))]
        made["data"] = {place.name: value for place, value in values.items() if place.where == "form"}


def _set(body: dict[str, Any], place: Place, value: Any) -> None:
    *parents, name = place.path
    for parent in parents:
        body = body.setdefault(parent, {})
    if value is None:
        body.pop(name, None)
    else:
        body[name] = [value] if place.many else value

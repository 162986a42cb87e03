"""Complete FastAPI's OpenAPI document with the errors and examples that it cannot derive from the routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from fastapi_ignite.core.errors import IgniteError, InvalidInputError, UnavailableError
from fastapi_ignite.http.idempotency import InvalidIdempotencyKeyError
from fastapi_ignite.http.problems import (
    AUTHENTICATED,
    MEDIA_TYPE,
    BodyTooLargeError,
    MalformedBodyError,
    Problem,
    RateLimitedError,
    responses,
)
from fastapi_ignite.http.routing import REQUIRED_SCOPE
from fastapi_ignite.infra.db import CommitOutcomeUnknownError
from fastapi_ignite.infra.idempotency.errors import (
    IdempotencyConflictError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
)

REFERENCE = "#/components/schemas/"
EXAMPLES = "#/components/examples/"
JSON = "application/json"
FIRST_SENTENCE = re.compile(r"(?P<summary>.+?)\.(?:\s+(?P<rest>.*))?", re.DOTALL)
BEARER = {
    "HTTPBearer": {
        "type": "http",
        "description": "A JWT with a `tenant_id` claim, or an API key (`ign_live_…`).",
        "scheme": "bearer",
    }
}
_TENANT_ID_DESCRIPTION = "Optional. It must be the tenant of the token."
TENANT_ID = [
    {
        "name": name,
        "in": place,
        "required": False,
        "schema": {
            "anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}],
            "description": _TENANT_ID_DESCRIPTION,
            "title": title,
        },
        "description": _TENANT_ID_DESCRIPTION,
    }
    for name, place, title in (("tenant_id", "query", "Tenant Id"), ("x-tenant-id", "header", "X-Tenant-Id"))
]
IDEMPOTENT = (
    InvalidIdempotencyKeyError,
    IdempotencyConflictError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
)


def operation_id(route: APIRoute) -> str:
    """Return the function's name. Generated clients use it, so a rename of the function breaks them."""
    return route.name


def install(app: FastAPI) -> None:
    """Make the application complete its document at the first request for it."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(generate(), errors_url=app.state.errors_url)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def complete(document: dict[str, Any], *, errors_url: str) -> dict[str, Any]:
    """Replace FastAPI's error schema by `Problem`, and add summaries, errors and examples to every operation."""
    schemas = document["components"]["schemas"]
    document["tags"] = _used_tags(document)
    document["components"]["securitySchemes"] = {**BEARER, **document["components"].get("securitySchemes", {})}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template=f"{REFERENCE}{{model}}")
    for schema in schemas.values():
        if "examples" in schema:
            schema["examples"] = [_with_nulls(example, schema, schemas) for example in schema["examples"]]
    for path in document["paths"].values():
        for method, operation in path.items():
            _summarise(operation)
            if REQUIRED_SCOPE in operation:
                _name_caller(operation)
            _name_errors(method, operation)
            _show_examples(operation, schemas)
    _share_problems(document, errors_url)
    _describe_defaults(document)
    return document


def _used_tags(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Leave out the explanations of features that this installation does not have."""
    used = {tag for methods in document["paths"].values() for each in methods.values() for tag in each.get("tags", ())}
    return [tag for tag in document.get("tags", ()) if tag["name"] in used]


def _with_nulls(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Put nulls back into an example, because FastAPI removes every null from the document."""
    schema = next((choice for choice in schema.get("anyOf", ()) if "$ref" in choice), schema)
    if "$ref" in schema:
        schema = schemas[schema["$ref"].removeprefix(REFERENCE)]
    if isinstance(value, list):
        return [_with_nulls(item, schema.get("items", {}), schemas) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    return {
        name: _with_nulls(value.get(name), field, schemas)
        for name, field in schema["properties"].items()
        if name in value or name in schema.get("required", ())
    }


def _summarise(operation: dict[str, Any]) -> None:
    """Use the first sentence of the docstring as the summary, and the others as the description."""
    docstring = FIRST_SENTENCE.fullmatch(operation.pop("description", ""))
    if docstring:
        operation["summary"] = docstring["summary"].replace("\n", " ")
    if docstring and docstring["rest"]:
        operation["description"] = docstring["rest"]


def _name_caller(operation: dict[str, Any]) -> None:
    """Add the token and the tenant id, which the route class reads. As dependencies they would be read once more."""
    operation["security"] = [{name: []} for name in BEARER]
    parameters = operation.setdefault("parameters", [])
    own = [parameter for parameter in parameters if parameter["in"] != "header"]
    operation["parameters"] = [*own, *TENANT_ID, *parameters[len(own) :]]


def _name_errors(method: str, operation: dict[str, Any]) -> None:
    """Add the errors of the checks around an operation. FastAPI keeps only one entry for each status."""
    answers = operation["responses"]
    if answers.get("422", {}).get("description") == "Validation Error":
        del answers["422"]
    for error in _errors_around(method, operation):
        entry = responses(error)[error.status]
        answer = answers.setdefault(str(error.status), entry)
        listed = answer["description"].split("; ")
        if entry["description"] not in listed:
            answer["description"] = "; ".join([*listed, entry["description"]])
            answer["content"][MEDIA_TYPE]["examples"] |= entry["content"][MEDIA_TYPE]["examples"]
    operation["responses"] = dict(sorted(answers.items()))


def _errors_around(method: str, operation: dict[str, Any]) -> Iterator[type[IgniteError]]:
    parameters = operation.get("parameters", [])
    if {"HTTPBearer": []} in operation.get("security", []):
        yield from AUTHENTICATED
    if "429" in operation["responses"]:
        yield RateLimitedError
        yield UnavailableError
        if method != "get":
            yield CommitOutcomeUnknownError
    if any(parameter["name"] == "idempotency-key" for parameter in parameters):
        yield from IDEMPOTENT
    if "requestBody" in operation:
        yield MalformedBodyError
        yield BodyTooLargeError
    if parameters or "requestBody" in operation:
        yield InvalidInputError


def _show_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Copy the examples of the models to the media types, where tools expect them."""
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        content = body.get("content", {}).get(JSON)
        if content is None:
            continue
        schema = content["schema"]
        item = schema.get("items", schema)
        shown = {
            f"{name} {number}": {"value": [example] if "items" in schema else example}
            for name in (choice["$ref"].removeprefix(REFERENCE) for choice in item.get("anyOf", [item]))
            for number, example in enumerate(schemas[name].get("examples", []), start=1)
        }
        if shown:
            content["examples"] = shown


def _share_problems(document: dict[str, Any], errors_url: str) -> None:
    """Move the example of each error code to the components, because most operations answer with the same errors."""
    shared: dict[str, Any] = {}
    for answer in _answers(document):
        content = answer.get("content", {}).get(MEDIA_TYPE)
        if content is None:
            continue
        for code, example in content["examples"].items():
            shared.setdefault(code, {**example, "value": {**example["value"], "type": f"{errors_url}#{code}"}})
        content["examples"] = {code: {"$ref": f"{EXAMPLES}{code}"} for code in content["examples"]}
    document["components"]["examples"] = dict(sorted(shared.items()))


def _describe_defaults(document: dict[str, Any]) -> None:
    """Let generated types leave out what a request may leave out, and promise what every answer has.

    `openapi-typescript` makes a property with a default required, in requests too, so a request's default is told in
    its description. FastAPI calls a property of an answer optional if it has a default, but every answer has all
    properties.
    """
    schemas = document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    sent = reached((operation.get("requestBody") for operation in operations), schemas)
    answered = reached(_answers(document), schemas)
    for name in sent | answered:
        for field in schemas[name].get("properties", {}).values():
            default = field.pop("default", None)
            if default is not None and name in sent:
                told = f"Default: `{json.dumps(default)}`."
                field["description"] = f"{field['description']} {told}" if "description" in field else told
    for name in answered - sent:
        if "properties" in schemas[name]:
            schemas[name]["required"] = list(schemas[name]["properties"])


def _answers(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield from operation["responses"].values()


def reached(nodes: Iterable[Any], schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that these parts of the document refer to, also through other schemas."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            name = str(node.get("$ref", "")).removeprefix(REFERENCE)
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found

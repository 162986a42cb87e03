"""The OpenAPI document: what FastAPI makes of the routes, with the errors and examples that it cannot see there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from fastapi_ignite.core.errors import IgniteError, InvalidInputError, UnavailableError
from fastapi_ignite.http.idempotency import InvalidIdempotencyKeyError
from fastapi_ignite.http.problems import (
    AUTHENTICATED,
    BodyTooLargeError,
    MalformedBodyError,
    Problem,
    RateLimitedError,
    responses,
)
from fastapi_ignite.infra.db import CommitOutcomeUnknownError
from fastapi_ignite.infra.idempotency.errors import (
    IdempotencyConflictError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
)

REFERENCE = "#/components/schemas/"
JSON = "application/json"
FIRST_SENTENCE = re.compile(r"(?P<summary>.+?)\.(?:\s+(?P<rest>.*))?", re.DOTALL)
IDEMPOTENT = (
    InvalidIdempotencyKeyError,
    IdempotencyConflictError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
)


def operation_id(route: APIRoute) -> str:
    """The function's name: what generated clients call the operation, so it is never changed for its own sake."""
    return route.name


def install(app: FastAPI) -> None:
    """Complete the document when it is first asked for."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `Problem` in place of FastAPI's own error shape, and with every operation told in full."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template=f"{REFERENCE}{{model}}")
    for schema in schemas.values():
        if "examples" in schema:
            schema["examples"] = [_with_nulls(example, schema, schemas) for example in schema["examples"]]
    for path in document["paths"].values():
        for method, operation in path.items():
            _summarise(operation)
            _name_errors(method, operation)
            _show_examples(operation, schemas)
    return document


def _with_nulls(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """FastAPI drops every null of the document, those of examples too."""
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
    """The first sentence of the docstring is the summary, the others are the description."""
    told = FIRST_SENTENCE.fullmatch(operation.pop("description", ""))
    if told:
        operation["summary"] = told["summary"].replace("\n", " ")
    if told and told["rest"]:
        operation["description"] = told["rest"]


def _name_errors(method: str, operation: dict[str, Any]) -> None:
    """FastAPI keeps one entry a status: what the layers around an operation answer is lost beside its own."""
    answers = operation["responses"]
    if answers.get("422", {}).get("description") == "Validation Error":
        del answers["422"]
    for error in _errors_around(method, operation):
        entry = responses(error)[error.status]
        told = answers.setdefault(str(error.status), entry)["description"].split("; ")
        if entry["description"] not in told:
            answers[str(error.status)]["description"] = "; ".join([*told, entry["description"]])
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
    """The examples of the models, where tools look for them."""
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

"""Tests of invalid text in every string of every operation: the answer is never 5xx, and 422 for a JSON body."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from starlette.types import Message

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from support.http_clients import TenantClient, TenantFactory, WithState, application
from support.http_contract import Operation, document, operations, problem
from support.outages import logged

HALF = "\ud800"
RAW_HALF = b"\xed\xa0\x80"  # the same as bytes: it is invalid UTF-8, but the JSON reader of Python accepts it
IN_URLS = (b"\xed\xa0\x80\xff", b"a\x00b")
SCHEMAS = document()["components"]["schemas"]
Path = tuple[str | int, ...]


def choices(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the schemas behind references and alternatives."""
    if "$ref" in schema:
        yield from choices(SCHEMAS[schema["$ref"].rpartition("/")[2]])
        return
    alternatives = [choice for kind in ("anyOf", "oneOf", "allOf") for choice in schema.get(kind, [])]
    yield from (found for choice in alternatives for found in choices(choice))
    if not alternatives:
        yield schema


def string_places(schema: dict[str, Any], path: Path = (), around: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Return the places of a JSON body that may hold a string. `*` is a name that the caller chooses.

    `around` has the titles of the models that the place is in: one that holds itself is looked at once.
    """
    for choice in choices(schema):
        if choice.get("type") == "string":
            yield path
        if choice.get("title") in around:
            continue
        for name, field in choice.get("properties", {}).items():
            yield from string_places(field, (*path, name), around | {choice["title"]})
        if isinstance(choice.get("additionalProperties"), dict):
            yield (*path, "*")
        if "items" in choice:
            yield from string_places(choice["items"], (*path, 0), around)


def bodies() -> Iterator[tuple[Operation, Path]]:
    for operation in operations():
        if operation.takes_json:
            schema = operation.definition["requestBody"]["content"]["application/json"]["schema"]
            yield from ((operation, path) for path in dict.fromkeys(string_places(schema)))


def parameters() -> Iterator[tuple[Operation, str, str]]:
    for operation in operations():
        for parameter in operation.definition.get("parameters", []):
            found = choices(parameter["schema"])
            if any(choice.get("type") == "string" and choice.get("format") != "uuid" for choice in found):
                yield operation, parameter["in"], parameter["name"]


def example_body(operation: Operation) -> Any:
    content = operation.definition["requestBody"]["content"]["application/json"]
    return deepcopy(next(iter(content["examples"].values()))["value"])


def put(body: Any, path: Path, value: str) -> Any:
    """Put the string into the body at the path."""
    *parents, last = path
    for parent, following in zip(parents, path[1:], strict=True):
        if isinstance(body, list) and not body:
            body.append(None)
        present = body[0] if isinstance(body, list) else body.get(parent)
        if not isinstance(present, list if following == 0 else dict):
            body[parent] = [] if following == 0 else {}
        body = body[parent]
    if last == "*":
        body[value] = value
    elif last == 0:
        body[:] = [value]
    else:
        body[last] = value


@pytest.fixture(scope="module")
async def callers(make_tenant: TenantFactory, admin_key: str) -> dict[str, dict[str, str]]:
    """Return the headers of the callers that operations accept."""
    tenant = await make_tenant()
    return {"tenant": tenant.headers, "admin": {"Authorization": f"Bearer {admin_key}"}, "public": {}}


def caller_kind(operation: Operation) -> str:
    return "tenant" if operation.for_tenants else "public" if operation.public else "admin"


def required(operation: Operation, place: str) -> dict[str, str]:
    """Return the document's examples of the required parameters."""
    return {
        parameter["name"]: str(parameter["schema"]["examples"][0])
        for parameter in operation.definition.get("parameters", [])
        if parameter["in"] == place and parameter.get("required") and parameter["schema"].get("examples")
    }


async def test_half_a_character_in_a_body_is_found_by_its_place(
    client: httpx2.AsyncClient, callers: dict[str, dict[str, str]]
) -> None:
    found = list(bodies())
    assert len(found) > 10
    for operation, path in found:
        for value in (HALF, f"a{HALF}b", "\udc00\ud800", "a\0b"):
            body = example_body(operation)
            put(body, path, value)
            escaped = json.dumps(body).encode()
            for content in (escaped, escaped.replace(rb"\ud800", RAW_HALF), json.dumps(body).encode("utf-16")):
                answer = await client.request(
                    operation.method,
                    operation.url(**required(operation, "path")),
                    params=required(operation, "query"),
                    headers={**callers[caller_kind(operation)], "Content-Type": "application/json"},
                    content=content,
                )
                told = problem(answer, 422, "validation_error")
                place = path[:-1] if path and path[-1] == "*" else path
                assert ["body", *map(str, place)] in [each["loc"] for each in told["errors"]], f"{operation} {path}"


async def test_bytes_that_are_no_text_in_addresses_and_headers(
    client: httpx2.AsyncClient, callers: dict[str, dict[str, str]]
) -> None:
    found = list(parameters())
    assert len(found) > 30
    wrong = []
    for operation, place, name in found:
        for value in IN_URLS:
            path, query = required(operation, "path"), required(operation, "query")
            headers = {key.encode(): text.encode() for key, text in callers[caller_kind(operation)].items()}
            if place == "header":
                headers[name.lower().encode()] = value.replace(b"\x00", b"\x01")
            elif place == "path":
                path[name] = quote(value)
            else:
                query.pop(name, None)
            pairs = [f"{key}={quote(text)}" for key, text in query.items()]
            pairs += [f"{name}={quote(value)}"] if place == "query" else []
            content = json.dumps(example_body(operation)).encode() if operation.takes_json else b""
            if content:
                headers[b"content-type"] = b"application/json"
            answer = await client.request(
                operation.method,
                f"{operation.url(**path)}?{'&'.join(pairs)}",
                headers=list(headers.items()),
                content=content,
            )
            if answer.status_code >= 500:
                wrong.append((str(operation), place, name, value, answer.status_code))
    assert not wrong


async def test_a_whole_character_outside_the_first_plane_passes(tenant: TenantClient) -> None:
    answer = await tenant.post(
        "/api-keys", content=rb'{"name": "\ud83d\ude00 chair"}', headers={"Content-Type": "application/json"}
    )
    assert answer.json()["name"] == "\N{GRINNING FACE} chair"


async def test_a_body_deep_and_wide_is_looked_through_at_its_own_cost(tenant: TenantClient) -> None:
    """If each value had its own list for its path, the check would take a gigabyte."""
    content = b"[" * 700 + b"1," * 100_000 + rb'"\ud800"' + b"]" * 700
    tracemalloc.start()
    try:
        answer = await tenant.post("/api-keys", content=content, headers={"Content-Type": "application/json"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    problem(answer, 422, "validation_error")
    assert peak < 50_000_000


async def test_a_caller_who_leaves_within_a_body_is_no_defect(settings: Settings, state: AppState) -> None:
    """The test checks that the log has neither an error nor a traceback."""
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/tenants/create",
        "raw_path": b"/api/v1/tenants/create",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "state": {},
    }

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(_: Message) -> None:
        """Drop the message."""

    with logged(settings) as log:
        await WithState(application(settings), state)(scope, receive, send)
    assert log.failures() == []
    assert log.tracebacks == 0

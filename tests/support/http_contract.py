"""The API's promises: the operations of its OpenAPI document, and the form of its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import httpx2

from fastapi_ignite.core.config import default_settings
from fastapi_ignite.main import create_app
from support.feature_contracts import contracts

# Headers that differ from one request to the next. On a busy machine Redis may answer only one of two requests in time.
CHANGING_HEADERS = {"x-request-id", "x-ratelimit-mode"}
COUNTDOWN_HEADERS = {"ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"}
PROBLEM = "application/problem+json"
# `insufficient_scope` has `required_scope`, which its example shows, or this member where a key is created or rotated
UNSHOWN_MEMBERS = {"missing_scopes"}
PREFIX = "/api/v1"
PUBLIC = ("/tenants/create", "/health", "/app-info", *(path for each in contracts().values() for path in each.public))
ADMIN = "/admin/"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    The path is relative to `/api/v1`; in another version of the API it is absolute and begins with `/api/`.
    """

    method: str
    path: str
    definition: Mapping[str, Any] = field(repr=False, hash=False, compare=False)

    @property
    def public(self) -> bool:
        """Tell whether the operation needs no token, by the features' contracts and not by the OpenAPI document."""
        return self.path.startswith(PUBLIC)

    @property
    def for_tenants(self) -> bool:
        """Tell whether the operation takes a tenant's token."""
        return not self.public and not self.path.startswith(ADMIN)

    @property
    def takes_json(self) -> bool:
        return "application/json" in self.definition.get("requestBody", {}).get("content", {})

    @property
    def takes_files(self) -> bool:
        return "multipart/form-data" in self.definition.get("requestBody", {}).get("content", {})

    def parameters(self, place: str) -> set[str]:
        """Return the names of its parameters in `path`, `query` or `header`."""
        return {item["name"] for item in self.definition.get("parameters", []) if item["in"] == place}

    @property
    def whole_path(self) -> str:
        return self.path if self.path.startswith("/api/") else PREFIX + self.path

    def url(self, **values: object) -> str:
        """Return the path with these values, and random ids for the other parameters.

        For another version of the API, the result is an absolute URL.
        """
        path = re.sub(r"{(\w+)}", lambda match: str(values.get(match[1], uuid4())), self.path)
        return path if self.whole_path != self.path else f"http://ignite.test{path}"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of an installation with the default settings."""
    return create_app(default_settings()).openapi()


def operations() -> list[Operation]:
    """Return all operations, in the order of the OpenAPI document."""
    return [
        Operation(method.upper(), path.removeprefix(PREFIX), definition)
        for path, methods in document()["paths"].items()
        for method, definition in methods.items()
    ]


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem with all of its standard members, and return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, answer.text
    assert body["status"] == status
    assert body["type"] == f"{default_settings().app.errors_url}#{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    if code in (documented := document()["components"]["examples"]):
        assert body.keys() <= documented[code]["value"].keys() | UNSHOWN_MEMBERS
    return body

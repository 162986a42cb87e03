"""What the API promises: its operations by its OpenAPI document, and the shape of its errors."""

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

PROBLEM = "application/problem+json"
PREFIX = "/api/v1"
PUBLIC = ("/tenants/create", "/health", "/app-info", *(path for each in contracts().values() for path in each.public))
ADMIN = "/admin/"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. The path begins below `/api/v1`, or with `/api/` in another version of the API."""

    method: str
    path: str
    definition: Mapping[str, Any] = field(repr=False, hash=False, compare=False)

    @property
    def public(self) -> bool:
        """By the product's contract, not by what the document says."""
        return self.path.startswith(PUBLIC)

    @property
    def for_tenants(self) -> bool:
        """Takes a tenant's bearer."""
        return not self.public and not self.path.startswith(ADMIN)

    @property
    def takes_json(self) -> bool:
        return "application/json" in self.definition.get("requestBody", {}).get("content", {})

    @property
    def takes_files(self) -> bool:
        return "multipart/form-data" in self.definition.get("requestBody", {}).get("content", {})

    def parameters(self, place: str) -> set[str]:
        """Names of its parameters in `path`, `query` or `header`."""
        return {item["name"] for item in self.definition.get("parameters", []) if item["in"] == place}

    @property
    def whole_path(self) -> str:
        return self.path if self.path.startswith("/api/") else PREFIX + self.path

    def url(self, **values: object) -> str:
        """The path with these values, and ids of nothing in the other places; with a host in other versions."""
        path = re.sub(r"{(\w+)}", lambda match: str(values.get(match[1], uuid4())), self.path)
        return path if self.whole_path != self.path else f"http://ignite.test{path}"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of a default installation."""
    return create_app(default_settings()).openapi()


def operations() -> list[Operation]:
    """All of them, in the document's order."""
    return [
        Operation(method.upper(), path.removeprefix(PREFIX), definition)
        for path, methods in document()["paths"].items()
        for method, definition in methods.items()
    ]


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an answer that is this problem, all of its standard members in place."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, answer.text
    assert body["status"] == status
    assert body["type"] == f"{default_settings().app.errors_url}#{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body

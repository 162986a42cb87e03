"""A request with an `Idempotency-Key` claims its key. Its response is stored for duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from fastapi_ignite.core.ids import new_id


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it was sent: its status and its JSON, to the byte."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ResultAddress:
    """The path at which the result of an operation can be read, and the status of its response.

    The path may name parameters of the request's own path and fields of the response: `/notes/{id}`.
    """

    path: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200

    def resource(self, fields: Mapping[str, Any]) -> str:
        """Return the path with the response's fields filled in."""
        return self.path.format_map({**self.parameters, **fields})

    def response(self, result: BaseModel) -> StoredResponse:
        """Return the response that the result is sent as."""
        return StoredResponse(self.status, result.model_dump_json(by_alias=True).encode())


@dataclass(frozen=True, slots=True)
class Claim:
    """The wish to be the first request with a key.

    `tenant_id` is the scope of the key, which on public routes is no tenant's id. `claim_id` proves later that the row
    is this claim's. With `replay` a duplicate gets the stored response in place of a refusal.
    """

    tenant_id: UUID
    route: str
    key_sha256: bytes
    fingerprint: bytes
    claim_id: UUID
    replay: bool = False
    result: ResultAddress = field(default_factory=ResultAddress)

    @classmethod
    def of(
        cls,
        *,
        tenant_id: UUID,
        route: str,
        key: str,
        request: bytes,
        replay: bool = False,
        result: ResultAddress | None = None,
    ) -> Claim:
        """Make a claim. `request` is everything that makes two requests the same: path, query and body."""
        fingerprint = hashlib.sha256(request).digest()
        digest = hashlib.sha256(key.encode()).digest()
        return cls(tenant_id, route, digest, fingerprint, new_id(), replay, result or ResultAddress())


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRequest:
    """A request with a key whose body is not known yet. `head` is its path and its query."""

    scope: UUID
    route: str
    key: str
    head: bytes
    replay: bool
    result: ResultAddress

    def claim(self, body: bytes) -> Claim:
        """Return the claim of the whole request."""
        return Claim.of(
            tenant_id=self.scope,
            route=self.route,
            key=self.key,
            request=b"\n".join((self.head, body)),
            replay=self.replay,
            result=self.result,
        )

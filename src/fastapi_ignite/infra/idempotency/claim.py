"""What a request with an `Idempotency-Key` asks to be: the first one with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from fastapi_ignite.core.ids import new_id


@dataclass(frozen=True, slots=True)
class Claim:
    """`tenant_id` is the scope; `claim_id` proves ownership later; `replay`: a duplicate wants the first answer."""

    tenant_id: UUID
    route: str
    key_sha256: bytes
    fingerprint: bytes
    claim_id: UUID
    replay: bool = False

    @classmethod
    def of(cls, *, tenant_id: UUID, route: str, key: str, request: bytes, replay: bool = False) -> Claim:
        """`request` is everything that makes two requests the same: path, query and body."""
        fingerprint = hashlib.sha256(request).digest()
        return cls(tenant_id, route, hashlib.sha256(key.encode()).digest(), fingerprint, new_id(), replay)

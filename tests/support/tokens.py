"""Tokens with any claims, signed with the development secret."""

from __future__ import annotations

from typing import Any

import jwt

SECRET = "change-me"
STRONG_SECRET = "Vx1Qb7-mT3zKfW9_hRyC4uJdNpL0aGsE5oXi2kZt8Yw"  # production accepts only a secret as strong as this
OTHER_STRONG_SECRET = STRONG_SECRET[::-1]


def signed(tenant_id: str, *, secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"tenant_id": tenant_id, **claims}, secret, algorithm=algorithm)


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": f"Bearer {token}".encode("latin-1")}

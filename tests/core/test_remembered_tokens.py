"""A token that was verified is not verified again, and is refused as before once it has expired."""

from __future__ import annotations

import time

import jwt
import pytest

from fastapi_ignite.core import security
from fastapi_ignite.core.config import Settings, default_settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import InvalidTokenError, TokenVerifier, sign_token


@pytest.fixture
def exact() -> Settings:
    """Settings that allow no clock skew."""
    defaults = default_settings()
    return defaults.model_copy(update={"jwt": defaults.jwt.model_copy(update={"leeway_seconds": 0})})


async def test_it_is_refused_when_it_has_expired(exact: Settings) -> None:
    verifier, tenant_id = TokenVerifier(exact), new_id()
    token = sign_token(tenant_id, exact, expires_at=int(time.time()) + 2)
    assert (await verifier.verify(token)).tenant_id == tenant_id
    assert await verifier.verify(token) is await verifier.verify(token)
    time.sleep(2.1)  # noqa: ASYNC251  nothing else runs on this loop
    with pytest.raises(InvalidTokenError, match="expired"):
        await verifier.verify(token)


async def test_a_bad_signature_never_profits_from_a_good_one(exact: Settings) -> None:
    verifier = TokenVerifier(exact)
    token = sign_token(new_id(), exact)
    await verifier.verify(token)
    forged = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "x" * 32, algorithm="HS256")
    for bad in (forged, token[:-4], token.rpartition(".")[0] + "."):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(bad)


async def test_their_number_is_bounded(exact: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "MAX_REMEMBERED_TOKENS", 3)
    verifier = TokenVerifier(exact)
    for token in [sign_token(new_id(), exact) for _ in range(10)]:
        await verifier.verify(token)
        assert len(verifier._verified) <= 3

"""HTTP operations of API keys."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query

from fastapi_ignite.api_keys.errors import (
    ApiKeyEndedError,
    ApiKeyNotFoundError,
    ExpiryNotAheadError,
    TooManyApiKeysError,
)
from fastapi_ignite.api_keys.schemas import (
    KEY_EXAMPLE,
    ApiKeyCreate,
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyRead,
    ApiKeyRotate,
)
from fastapi_ignite.api_keys.service import ApiKeyService
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.admission import idempotent
from fastapi_ignite.http.deps import PrincipalDep, SessionDep, SettingsDep
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.tenants.errors import TenantNotFoundError

router = tenant_router(
    "/api-keys",
    "api keys",
    "Keys for programs, with a role and scopes. Rotation may overlap; revocation takes a second.",
)


async def _service(principal: PrincipalDep, session: SessionDep, settings: SettingsDep) -> ApiKeyService:
    return ApiKeyService(session, principal, settings)


ApiKeyServiceDep = Annotated[ApiKeyService, Depends(_service)]
KeyId = Annotated[UUID, Path(examples=[KEY_EXAMPLE])]


@router.post(
    "",
    status_code=201,
    openapi_extra=requires(Scope.API_KEYS_WRITE),
    dependencies=[idempotent("/api-keys", keep_answer=False)],
    responses=responses(TenantNotFoundError, TooManyApiKeysError, ExpiryNotAheadError),
)
async def create_api_key(service: ApiKeyServiceDep, wanted: ApiKeyCreate) -> ApiKeyCreated:
    """Create a key that may do no more than the caller. Only this answer shows the key.

    Keys begin with `ign_live_` in production and with `ign_test_` elsewhere, and work only there.
    """
    return await service.create(wanted)


@router.get("", openapi_extra=requires(Scope.API_KEYS_READ))
async def list_api_keys(
    service: ApiKeyServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[UUID | None, Query(description="`next_after` of the previous page.")] = None,
) -> ApiKeyList:
    """List the keys of the tenant, newest first, also revoked and expired ones."""
    return await service.page(limit=limit, after=after)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    openapi_extra=requires(Scope.API_KEYS_WRITE),
    dependencies=[idempotent("/api-keys", keep_answer=False)],
    responses=responses(ApiKeyNotFoundError, ApiKeyEndedError, TenantNotFoundError, TooManyApiKeysError),
)
async def rotate_api_key(service: ApiKeyServiceDep, key_id: KeyId, wanted: ApiKeyRotate) -> ApiKeyCreated:
    """Replace a key by a new one with the same rights. The old key still works for `overlap_seconds`."""
    return await service.rotate(key_id, overlap_seconds=wanted.overlap_seconds)


@router.delete("/{key_id}", openapi_extra=requires(Scope.API_KEYS_WRITE), responses=responses(ApiKeyNotFoundError))
async def revoke_api_key(service: ApiKeyServiceDep, key_id: KeyId) -> ApiKeyRead:
    """Revoke a key. Within a second it stops working in every process."""
    return await service.revoke(key_id)

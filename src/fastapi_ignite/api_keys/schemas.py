"""Requests and responses of API keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from fastapi_ignite.api_keys.models import ApiKey
from fastapi_ignite.core.permissions import Role, Scope
from fastapi_ignite.http.fields import Name

KEY_EXAMPLE = "01932c5d-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:")
END_OF_EXPIRIES = datetime(2200, 1, 1, tzinfo=UTC)  # so that adding a lifetime stays below the year 9999
MAX_OVERLAP_SECONDS = 30 * 86400
_READ_EXAMPLE: dict[str, Any] = {
    "id": KEY_EXAMPLE,
    "name": "nightly import",
    "hint": "x9Qz",
    "role": "member",
    "scopes": ["files:read", "files:write"],
    "created_by": "token:auth0|5f7c8ec7c33c6c004bbafe82",
    "created_at": "2024-06-02T12:34:56.123456Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "replaced_by": None,
}
_ENDED_EXAMPLE = {
    **_READ_EXAMPLE,
    "expires_at": "2024-06-02T13:34:56.123456Z",
    "revoked_at": "2024-06-02T12:40:00.654321Z",
    "replaced_by": "01932c5e-7d7c-7b1e-9a51-3c8d5f1f7a10",
}


def _date_and_time(value: object) -> object:
    """Refuse numbers. Pydantic would accept them, and guess whether they are seconds or milliseconds."""
    if not isinstance(value, str) or not DATE_AND_TIME.match(value):
        raise ValueError("must be a date and a time with an offset, like 2030-01-01T00:00:00Z")
    return value


def _before_year_2200(value: datetime) -> datetime:
    if value >= END_OF_EXPIRIES:
        raise ValueError("must be before the year 2200; null means never")
    return value


class ApiKeyCreate(BaseModel):
    """The request for a new key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "nightly import", "role": "member", "scopes": ["files:write"]}]},
    )

    name: Name
    role: Role = Field(Role.MEMBER, description="Role that limits what the key may do.")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] | None = Field(
        None, description="Scopes that restrict the role. null means all scopes of the role, except `tenant:erase`."
    )
    expires_at: Annotated[AwareDatetime, BeforeValidator(_date_and_time), AfterValidator(_before_year_2200)] | None = (
        Field(None, description="Must have an offset, and be before the year 2200. null means never.")
    )


class ApiKeyRotate(BaseModel):
    """The request to replace a key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: int = Field(86400, ge=0, le=MAX_OVERLAP_SECONDS, description="How long the old key still works.")


class ApiKeyRead(BaseModel):
    """A key without its secret, which cannot be shown again."""

    model_config = ConfigDict(json_schema_extra={"examples": [_READ_EXAMPLE, _ENDED_EXAMPLE]})

    id: UUID
    name: str
    hint: str = Field(description="The last characters of the key.")
    role: Role
    scopes: list[Scope] | None
    created_by: str = Field(
        description="Who created it: `token:` with the token's `sub`, or `api_key:` with the key's id."
    )
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Precise to the minute.")
    replaced_by: UUID | None = Field(description="Id of the key that replaced it.")

    @classmethod
    def of(cls, key: ApiKey) -> ApiKeyRead:
        return cls.model_validate({name: getattr(key, name) for name in ApiKeyRead.model_fields})


class ApiKeyCreated(ApiKeyRead):
    """The only answer that contains the key itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**_READ_EXAMPLE, "key": "ign_live_01Jt…x9Qz"},
            ]
        }
    )

    key: str = Field(description="Store it now. It is not shown again. Send it as `Authorization: Bearer <key>`.")

    @classmethod
    def shown(cls, key: ApiKey, secret: str) -> ApiKeyCreated:
        return cls(**ApiKeyRead.of(key).model_dump(), key=secret)


class ApiKeyList(BaseModel):
    """A page of keys, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"api_keys": [_READ_EXAMPLE], "has_more": False, "next_after": None}]}
    )

    api_keys: list[ApiKeyRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")

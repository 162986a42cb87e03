"""Shapes of tenants, as they see themselves and as administrators see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fastapi_ignite.http.fields import NOT_BLANK, Name, no_nul
from fastapi_ignite.tenants.models import Tenant

TENANT_EXAMPLE = "2cb9e69e-6fe7-4f5c-8f4d-5a9c6a2bd5d4"
_READ_EXAMPLE: dict[str, Any] = {
    "id": TENANT_EXAMPLE,
    "name": "Acme Co",
    "plan_id": "hobby",
    "billing_cycle": "monthly",
    "status": "active",
    "suspended_at": None,
    "suspension_reason": None,
    "created_at": "2024-06-01T08:00:00.000001Z",
}
_SUSPENDED_EXAMPLE = {
    **_READ_EXAMPLE,
    "status": "suspended",
    "suspended_at": "2024-06-02T12:34:56.123456Z",
    "suspension_reason": "Invoice overdue.",
}


class OwnTenantRead(BaseModel):
    """The tenant, as it sees itself."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {name: _READ_EXAMPLE[name] for name in ("id", "name", "plan_id", "billing_cycle", "created_at")}
            ]
        },
    )

    id: UUID
    name: str
    plan_id: str
    billing_cycle: str
    created_at: datetime

    @classmethod
    def of(cls, tenant: Tenant) -> OwnTenantRead:
        """Build it from the row."""
        return cls.model_validate(tenant)


class TenantChange(BaseModel):
    """A tenant changes these fields of itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Acme Corporation"}]})

    name: Name


class TenantRead(BaseModel):
    """A tenant. Nothing that it has stored is shown here."""

    model_config = ConfigDict(json_schema_extra={"examples": [_READ_EXAMPLE, _SUSPENDED_EXAMPLE]})

    id: UUID
    name: str
    plan_id: str
    billing_cycle: str
    status: Literal["active", "suspended", "erasing"]
    suspended_at: datetime | None
    suspension_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, tenant: Tenant, *, erasing: bool) -> TenantRead:
        """Build it from the row."""
        status: Literal["active", "suspended", "erasing"] = "suspended" if tenant.suspended_at else "active"
        return cls(
            id=tenant.id,
            name=tenant.name,
            plan_id=tenant.plan_id,
            billing_cycle=tenant.billing_cycle,
            status="erasing" if erasing else status,
            suspended_at=tenant.suspended_at,
            suspension_reason=tenant.suspension_reason,
            created_at=tenant.created_at,
        )


class TenantList(BaseModel):
    """A page of tenants, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tenants": [_READ_EXAMPLE], "has_more": False, "next_after": None}]}
    )

    tenants: list[TenantRead]
    has_more: bool
    next_after: UUID | None


class Suspension(BaseModel):
    """Why a tenant is suspended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "Invoice overdue."}]})

    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        AfterValidator(no_nul),
        Field(json_schema_extra=NOT_BLANK),
    ]

"""Defines the request to erase a tenant. Its answer is the receipt of a deletion."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fastapi_ignite.http.fields import Name


class TenantErasure(BaseModel):
    """The request to erase a tenant."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"confirm": "Acme Co", "without_export": False}]},
    )

    confirm: Name = Field(description="The name or the id of the tenant.")
    without_export: bool = Field(False, strict=True, description="Erase the tenant although it has no whole archive.")

"""Shape of a new tenant."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.billing.schemas import SubscriptionPeriods


class TenantCreated(SubscriptionPeriods):
    """The tenant and its first subscription."""

    tenant_id: UUID

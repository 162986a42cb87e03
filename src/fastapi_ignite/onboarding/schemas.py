"""Shape of a new tenant."""

from __future__ import annotations

from uuid import UUID

from pydantic import ConfigDict

from fastapi_ignite.billing.schemas import SubscriptionPeriods


class TenantCreated(SubscriptionPeriods):
    """The tenant and its first subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "2cb9e69e-6fe7-4f5c-8f4d-5a9c6a2bd5d4",
                    "plan_id": "hobby",
                    "plan_name": "Hobby",
                    "billing_cycle": "monthly",
                    "period_start": "2024-06-01",
                    "period_end": "2024-06-30",
                    "quota_period_start": "2024-06-01",
                    "quota_period_end": "2024-06-30",
                    "limits": {"max_projects": 3, "monthly_message_cap": 2000, "monthly_upload_char_cap": 500000},
                }
            ]
        }
    )

    tenant_id: UUID

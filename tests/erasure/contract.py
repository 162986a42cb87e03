"""Facts about erasing tenants for the tests that cover all features."""

from __future__ import annotations

from fastapi_ignite.core.permissions import Role
from fastapi_ignite.erasure.tasks import erase_tenant
from support.feature_contracts import FeatureContract, JobRow

INSERT = (
    "INSERT INTO deletions (tenant_id, id, kind, state, notified_at) VALUES (:tenant, :id, 'tenant', :state, now())"
)

CONTRACT = FeatureContract(
    least_role={"POST /tenants/current/erase": Role.OWNER},
    job_rows={erase_tenant: JobRow("deletions", "in_progress", INSERT)},
)

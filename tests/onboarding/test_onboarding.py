from __future__ import annotations

from datetime import date
from uuid import UUID

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.http.state import AppState
from support.http_clients import client_for


async def test_a_tenant_is_made_with_its_first_subscription(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/tenants/create?name=Acme%20Co&plan_id=hobby&billing_cycle=monthly")
    body = answer.json()
    UUID(body["tenant_id"])
    assert body["plan_name"] == "Hobby"
    assert body["limits"] == {"max_projects": 3, "monthly_message_cap": 2000, "monthly_upload_char_cap": 500000}
    assert date.fromisoformat(body["period_start"]) <= date.fromisoformat(body["period_end"])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("name=Acme&plan_id=platinum&billing_cycle=monthly", 404, "plan_not_found"),
        ("name=Acme&plan_id=hobby&billing_cycle=weekly", 422, "invalid_billing_cycle"),
        ("name=%20%20&plan_id=hobby", 422, "validation_error"),
        ("name=a%00b&plan_id=hobby", 422, "validation_error"),
        ("plan_id=hobby", 422, "validation_error"),
    ],
)
async def test_bad_input_makes_no_tenant(client: httpx2.AsyncClient, query: str, status: int, code: str) -> None:
    answer = await client.post(f"/tenants/create?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_signup_by_admin_key_only(settings: Settings, state: AppState, admin_key: str) -> None:
    closed = settings.model_copy(update={"app": settings.app.model_copy(update={"tenant_signup": "admin"})})
    tenant_token = sign_token(UUID(int=1), closed)
    async with client_for(closed, state) as client:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {tenant_token}"}, 401),
            ({"Authorization": f"Bearer {admin_key}"}, 200),
        ):
            answer = await client.post("/tenants/create?name=Acme&plan_id=hobby", headers=headers)
            assert answer.status_code == status, headers

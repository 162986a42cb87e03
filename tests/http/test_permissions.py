"""Tests of what a token may do: every operation with every role, and with single scopes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.permissions import ROLE_SCOPES, Role, Scope
from fastapi_ignite.core.security import TokenVerifier
from fastapi_ignite.http.routing import requires, tenant_router
from support.feature_contracts import contracts
from support.http_clients import TenantClient, UnreadBody
from support.http_contract import Operation, operations, problem
from support.tokens import bearer, signed

OPERATIONS = [operation for operation in operations() if operation.for_tenants]
# The contracts of the tests say who may call what. The tests do not read it from the program.
LEAST_ROLE = {name: role for each in contracts().values() for name, role in each.least_role.items()}
RANKS = [Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER]


async def call(tenant: TenantClient, operation: Operation, token: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await tenant.http.request(operation.method, operation.url(), headers=headers)


def test_every_operation_is_ranked() -> None:
    assert {str(operation) for operation in OPERATIONS} == set(LEAST_ROLE)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_a_role_may_do_what_its_rank_says(tenant: TenantClient, operation: Operation, role: Role) -> None:
    answer = await call(tenant, operation, signed(str(tenant.id), role=role))
    if RANKS.index(role) >= RANKS.index(LEAST_ROLE[str(operation)]):
        assert answer.status_code not in (401, 403), answer.text
        return
    body = problem(answer, 403, "insufficient_scope")
    assert body["required_scope"] == operation.definition["x-required-scope"]
    assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{body["required_scope"]}"'
    assert answer.headers["ratelimit"], "it cost a unit, and says so"


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_the_one_scope_is_enough_and_all_others_are_not(tenant: TenantClient, operation: Operation) -> None:
    needed = operation.definition["x-required-scope"]
    others = " ".join(scope for scope in Scope if scope != needed)
    assert (await call(tenant, operation, signed(str(tenant.id), scope=needed))).status_code not in (401, 403)
    assert (await call(tenant, operation, signed(str(tenant.id), scope=[needed]))).status_code not in (401, 403)
    problem(await call(tenant, operation, signed(str(tenant.id), scope=others)), 403, "insufficient_scope")


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"scope": ""}, 403),
        ({"scope": []}, 403),
        ({"scope": "openid profile email"}, 403),
        ({"scope": "USAGE:READ"}, 403),
        ({"scope": "usage:*"}, 403),
        ({"scope": "usage:read,audit:read"}, 403),
        ({"scope": "openid usage:read"}, 200),
        ({"role": "viewer", "scope": "usage:read"}, 200),
        ({"role": "owner", "scope": "audit:read"}, 403),
        ({"role": "viewer", "scope": "billing:write"}, 403),
    ],
)
async def test_role_and_scope_must_both_allow(tenant: TenantClient, claims: dict[str, Any], status: int) -> None:
    token = signed(str(tenant.id), **claims)
    assert (await tenant.http.get("/limits/current", headers=bearer(token))).status_code == status


async def test_a_scope_beyond_the_role_is_not_won_by_naming_it(tenant: TenantClient) -> None:
    token = signed(str(tenant.id), role="viewer", scope="billing:write usage:read")
    answer = await tenant.http.post("/billing/subscribe", params={"plan_id": "pro"}, headers=bearer(token))
    problem(answer, 403, "insufficient_scope")


async def test_it_is_refused_before_the_body_is_read(tenant: TenantClient) -> None:
    token, body = signed(str(tenant.id), role="viewer"), UnreadBody()
    answer = await tenant.http.post("/query/ask", headers=bearer(token), content=body)
    assert not body.read
    problem(answer, 403, "insufficient_scope")


def test_an_operation_that_names_no_scope_does_not_start() -> None:
    router = tenant_router("/x", "x")
    with pytest.raises(ValueError, match=r"/x/open: .*requires\(Scope"):
        router.get("/open")(lambda: None)
    router.get("/closed", openapi_extra=requires(Scope.USAGE_READ))(lambda: None)


def test_each_role_may_do_what_the_next_one_may_and_more() -> None:
    for lesser, greater in pairwise(RANKS):
        assert ROLE_SCOPES[lesser] < ROLE_SCOPES[greater]
    assert ROLE_SCOPES[Role.OWNER] == set(Scope)


async def test_claims_of_other_names_by_setting(settings: Settings, tenant: TenantClient) -> None:
    """Identity providers choose the names of their claims, so settings name them."""
    names = {"tenant_claim": "https://acme.example/tenant", "role_claim": "acme_role", "scope_claim": "acme_scope"}
    verifier = TokenVerifier(settings.model_copy(update={"jwt": settings.jwt.model_copy(update=names)}))
    claims = {"https://acme.example/tenant": str(tenant.id), "acme_role": "viewer", "acme_scope": "usage:read"}
    token = signed("not the tenant", role="nonsense", scope="openid", secret="change-me", **claims)
    principal = await verifier.verify(token)
    assert principal.tenant_id == tenant.id
    assert principal.scopes == {Scope.USAGE_READ}

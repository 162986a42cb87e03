"""Tests of statements that go to the driver without a change."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import FixedStatement

READ = FixedStatement("SELECT :first || :second || :first AS joined, current_user::text AS role")
ADD = FixedStatement("INSERT INTO projects (tenant_id, id, name) VALUES (:tenant_id, :id, 'lost')")


async def test_takes_its_parameters_by_name_in_the_transaction_of_the_session(state: AppState) -> None:
    async with state["database"].tenant(new_id()) as session:
        row = (await READ.execute(session, {"second": "b", "first": "a", "unused": 1})).one()
    assert (row.joined, row.role) == ("aba", "ignite_tenant")


async def test_fails_as_any_other_statement(state: AppState) -> None:
    """It raises the errors of SQLAlchemy, which routes and jobs distinguish."""
    tenant_id = new_id()
    with pytest.raises(IntegrityError):
        async with state["database"].tenant(tenant_id) as session:
            await ADD.execute(session, {"tenant_id": tenant_id, "id": new_id()})

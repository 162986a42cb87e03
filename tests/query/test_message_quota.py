"""However many questions arrive at once, exactly as many are answered as the plan allows."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from fastapi_ignite.infra.db import Database
from support.http_clients import TenantFactory
from support.tenant_records import counter, make_plan, rows_of


@pytest.mark.usefixtures("worker")
async def test_forty_asks_on_a_cap_of_five_admit_five(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, messages=5))
    project = await tenant.create_project()
    await tenant.upload(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
    answers = await asyncio.gather(*(tenant.ask(project, f"How many trees? {number}") for number in range(40)))
    assert Counter(answer.status_code for answer in answers) == {200: 5, 402: 35}
    refused = next(answer.json() for answer in answers if answer.status_code == 402)
    assert (refused["code"], refused["metric"], refused["cap"], refused["requested"]) == (
        "quota_exceeded",
        "messages",
        5,
        1,
    )
    assert refused["resets_at"].endswith("T00:00:00+00:00")
    assert await counter(database, tenant.id, "messages") == (5, 0)
    (daily,) = await rows_of(database, tenant.id, "SELECT sum(amount) AS n FROM usage_daily WHERE metric = 'messages'")
    assert daily["n"] == 5
    rows = await rows_of(database, tenant.id, "SELECT state, count(*) AS n FROM messages GROUP BY 1")
    assert {row["state"]: row["n"] for row in rows} == {"completed": 10}

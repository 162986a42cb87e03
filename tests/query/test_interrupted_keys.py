"""Questions with a key whose process dies, stalls, or fails after it may have spent money."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import store
from support.http_clients import TenantClient
from support.http_contract import problem
from support.interrupted_engines import interrupted
from support.tenant_records import counter, eventually, rows_of

KEY = {"Idempotency-Key": "question-1"}


async def end_leases(database: Database, tenant: TenantClient) -> None:
    """Let the leases expire, as they do a minute after the last sign of life."""
    async with database.tenant(tenant.id) as session:
        await session.execute(text("UPDATE idempotency_keys SET lease_until = now() - interval '1 second'"))


async def answers(database: Database, tenant: TenantClient) -> int:
    return len(await rows_of(database, tenant.id, "SELECT 1 FROM messages WHERE role = 'assistant'"))


async def test_a_stalled_owner_cannot_commit_beside_its_heir(
    tenant: TenantClient, engine_settings: Settings, state: AppState, database: Database
) -> None:
    """A process stalls, another one takes over and answers, and then the first one continues."""
    project = await tenant.create_project()

    async def taken_for_dead() -> None:
        await end_leases(database, tenant)
        assert (await tenant.ask(project, "Why?", headers=KEY)).status_code == 200

    async with interrupted(tenant, engine_settings, state, taken_for_dead, paid=False) as (stalled, _):
        problem(await stalled.ask(project, "Why?", headers=KEY), 409, "idempotency_in_progress")
    assert await answers(database, tenant) == 1
    assert await counter(database, tenant.id, "messages") == (1, 0)
    problem(await tenant.ask(project, "Why?", headers=KEY), 409, "idempotency_duplicate")


async def test_an_owner_whose_lease_ran_out_unnoticed_commits(
    tenant: TenantClient, engine_settings: Settings, state: AppState, database: Database
) -> None:
    project = await tenant.create_project()
    async with interrupted(tenant, engine_settings, state, lambda: end_leases(database, tenant)) as (late, _):
        assert (await late.ask(project, "Why?", headers=KEY)).status_code == 200
    problem(await tenant.ask(project, "Why?", headers=KEY), 409, "idempotency_duplicate")


async def test_the_lease_is_extended_while_the_answer_is_made(
    tenant: TenantClient,
    engine_settings: Settings,
    state: AppState,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = await tenant.create_project()
    monkeypatch.setattr(store, "LEASE", timedelta(seconds=0.3))

    async def lease() -> datetime:
        (row,) = await rows_of(database, tenant.id, "SELECT lease_until FROM idempotency_keys")
        until: datetime = row["lease_until"]
        return until

    async def three_leases_long() -> None:
        for _ in range(3):
            before = await lease()

            async def extended(before: datetime = before) -> bool:
                return await lease() > before

            await eventually(extended)

    async with interrupted(tenant, engine_settings, state, three_leases_long) as (slow, _):
        assert (await slow.ask(project, "Why?", headers=KEY)).status_code == 200
    assert not [task for task in asyncio.all_tasks() if "IdempotentWork._extend_lease" in repr(task)]


class TestAPaidAnswer:
    """An answer that cost money must never be made twice under one key."""

    async def test_a_failure_after_it_keeps_the_key(
        self, tenant: TenantClient, engine_settings: Settings, state: AppState, database: Database
    ) -> None:
        project = await tenant.create_project()

        async def abandon() -> None:
            async with database.tenant(tenant.id) as session:
                await session.execute(text("UPDATE messages SET state = 'failed'"))

        async with interrupted(tenant, engine_settings, state, abandon, paid=True) as (failing, _):
            problem(await failing.ask(project, "Why?", headers=KEY), 503, "answer_timeout")
        body = problem(await tenant.ask(project, "Why?", headers=KEY), 409, "idempotency_outcome_unknown")
        assert {"first_seen_at", "expires_at"} <= set(body)
        assert await answers(database, tenant) == 0
        used, _ = await counter(database, tenant.id, "messages")
        assert used == 0, "the tenant pays for no failure"
        assert (await tenant.ask(project, "Why?", headers={"Idempotency-Key": "question-2"})).status_code == 200

    async def test_a_failure_that_may_have_come_after_it_keeps_the_key(
        self, tenant: TenantClient, engine_settings: Settings, state: AppState
    ) -> None:
        project = await tenant.create_project()

        async def fail() -> None:
            raise ConnectionResetError

        async with interrupted(tenant, engine_settings, state, asked=fail, paid=True) as (failing, _):
            assert (await failing.ask(project, "Why?", headers=KEY)).status_code == 503
        problem(await tenant.ask(project, "Why?", headers=KEY), 409, "idempotency_outcome_unknown")

    async def test_a_provider_that_is_away_leaves_the_key_free(
        self, tenant: TenantClient, engine_settings: Settings, state: AppState
    ) -> None:
        project = await tenant.create_project()

        async def away() -> None:
            raise UnavailableError

        async with interrupted(tenant, engine_settings, state, asked=away, paid=True) as (failing, _):
            problem(await failing.ask(project, "Why?", headers=KEY), 503, "unavailable")
        assert (await tenant.ask(project, "Why?", headers=KEY)).status_code == 200

    async def test_nobody_takes_it_over_from_a_dead_owner(
        self, tenant: TenantClient, engine_settings: Settings, state: AppState, database: Database
    ) -> None:
        project = await tenant.create_project()
        told: list[Any] = []

        async def die() -> None:
            told.append(await tenant.ask(project, "Why?", headers=KEY))
            await end_leases(database, tenant)
            told.append(await tenant.ask(project, "Why?", headers=KEY))

        async with interrupted(tenant, engine_settings, state, die, paid=True) as (dying, _):
            await dying.ask(project, "Why?", headers=KEY)
        assert [answer.json()["code"] for answer in told] == ["idempotency_in_progress", "idempotency_outcome_unknown"]

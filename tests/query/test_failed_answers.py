"""A question that gets no answer is not charged, and an answer whose source was deleted is not sent.

If the lost answer cost nothing, its key can be used again; `test_interrupted_keys` tests answers that cost money.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.query.models import RESERVATION_LIFETIME
from fastapi_ignite.query.service import MOST_ANSWERS
from fastapi_ignite.query.tasks import fail_abandoned_questions
from fastapi_ignite.usage import tasks as usage_tasks
from support.http_clients import TenantClient
from support.interrupted_engines import interrupted
from support.tenant_records import counter, rows_of

QUESTION = "How many apple trees does the orchard keep?"


async def message_states(database: Database, tenant: TenantClient) -> list[tuple[str, str]]:
    rows = await rows_of(database, tenant.id, "SELECT role, state FROM messages ORDER BY role DESC")
    return [(row["role"], row["state"]) for row in rows]


async def file_ids(tenant: TenantClient, project: str) -> dict[str, str]:
    listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    return {file["filename"]: file["id"] for file in listed}


async def remove(tenant: TenantClient, project: str, file_id: str) -> None:
    answer = await tenant.delete(f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": file_id})
    assert answer.status_code == 200


async def test_an_engine_that_fails_costs_nothing(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    async def fail() -> None:
        raise RuntimeError("the model's server said SECRET")

    async with interrupted(tenant, engine_settings, state, fail, paid=False) as (caller, _):
        answer = await caller.ask(project, QUESTION, headers={"Idempotency-Key": "first"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "SECRET" not in answer.text
    assert await message_states(database, tenant) == [("user", "failed")]
    assert await counter(database, tenant.id, "messages") == (0, 0)
    again = await tenant.ask(project, QUESTION, headers={"Idempotency-Key": "first"})
    assert (again.status_code, again.json()["answerable"]) == (200, True)
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_the_words_of_a_file_removed_meanwhile_never_leave(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    async def remove_the_source() -> None:
        for file_id in (await file_ids(tenant, project)).values():
            await remove(tenant, project, file_id)

    async with interrupted(tenant, engine_settings, state, remove_the_source) as (caller, engine):
        answer = (await caller.ask(project, QUESTION)).json()
    assert engine.answers == 2
    assert (answer["answerable"], answer["citations"]) == (False, [])
    assert "nine" not in answer["answer"]
    rows = await rows_of(database, tenant.id, "SELECT content FROM messages")
    assert not any("nine" in row["content"] for row in rows)
    assert await message_states(database, tenant) == [("user", "completed"), ("assistant", "completed")]
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_another_source_answers_in_its_place(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState
) -> None:
    await tenant.upload(project, ("record.txt", b"By our record, the orchard keeps nine apple trees and a pear."))

    async def remove_the_first_source() -> None:
        ids = await file_ids(tenant, project)
        if "orchard.txt" in ids:
            await remove(tenant, project, ids["orchard.txt"])

    async with interrupted(tenant, engine_settings, state, remove_the_first_source) as (caller, engine):
        answer = (await caller.ask(project, QUESTION)).json()
    assert engine.answers == 2
    assert [cited["filename"] for cited in answer["citations"]] == ["record.txt"]
    assert answer["answer"] == answer["citations"][0]["quote"]


async def test_an_equal_file_keeps_the_answer(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState
) -> None:
    await tenant.upload(project, ("copy.txt", b"The orchard keeps nine apple trees."))

    async def remove_the_first_file() -> None:
        await remove(tenant, project, (await file_ids(tenant, project))["orchard.txt"])

    async with interrupted(tenant, engine_settings, state, remove_the_first_file) as (caller, engine):
        answer = (await caller.ask(project, QUESTION)).json()
    assert engine.answers == 1
    assert [cited["filename"] for cited in answer["citations"]] == ["copy.txt"]


async def test_sources_that_vanish_every_time_are_a_503_and_cost_nothing(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    await remove(tenant, project, (await file_ids(tenant, project))["orchard.txt"])
    names = iter([f"{number}.txt" for number in range(MOST_ANSWERS + 1)])

    async def replace_the_source() -> None:
        for file_id in (await file_ids(tenant, project)).values():
            await remove(tenant, project, file_id)
        name = next(names)
        await tenant.upload(project, (name, f"The orchard keeps nine apple trees, says {name}.".encode()))

    await replace_the_source()
    async with interrupted(tenant, engine_settings, state, replace_the_source, paid=False) as (caller, engine):
        answer = await caller.ask(project, QUESTION, headers={"Idempotency-Key": "first"})
    assert engine.answers == MOST_ANSWERS == 3
    assert (answer.status_code, answer.json()["code"]) == (503, "sources_changed")
    assert "nine" not in answer.text
    assert await message_states(database, tenant) == [("user", "failed")]
    assert await counter(database, tenant.id, "messages") == (0, 0)
    again = await tenant.ask(project, QUESTION, headers={"Idempotency-Key": "first"})
    assert (again.status_code, again.json()["answerable"]) == (200, True)


@pytest.fixture
def end_expired(task_context: TaskContext) -> Callable[[], Awaitable[None]]:
    """Return a function that ends questions and reservations whose process has died, as the scheduler does."""

    async def end() -> None:
        await fail_abandoned_questions.run(task_context)
        await usage_tasks.end_expired.run(task_context)

    return end


async def pass_the_lifetime(database: Database, tenant: TenantClient) -> None:
    earlier = clock.now() - RESERVATION_LIFETIME - timedelta(seconds=1)
    for statement in (
        "UPDATE messages SET created_at = :earlier",
        "UPDATE usage_reservations SET expires_at = :earlier",
    ):
        await rows_of(database, tenant.id, statement, earlier=earlier)


async def test_an_answer_that_comes_too_late_costs_nothing(
    tenant: TenantClient,
    project: str,
    engine_settings: Settings,
    state: AppState,
    database: Database,
    end_expired: Callable[[], Awaitable[None]],
) -> None:
    async def take_too_long() -> None:
        assert await counter(database, tenant.id, "messages") == (0, 1)
        await pass_the_lifetime(database, tenant)
        await end_expired()

    async with interrupted(tenant, engine_settings, state, take_too_long) as (caller, _):
        answer = await caller.ask(project, QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (503, "answer_timeout")
    assert await message_states(database, tenant) == [("user", "failed")]
    assert await counter(database, tenant.id, "messages") == (0, 0)


async def test_an_answer_whose_unit_was_released_is_not_given_for_nothing(
    tenant: TenantClient,
    project: str,
    engine_settings: Settings,
    state: AppState,
    database: Database,
    end_expired: Callable[[], Awaitable[None]],
) -> None:
    """The reservation expires, while the question itself is too young to expire."""

    async def let_the_unit_expire() -> None:
        statement = "UPDATE usage_reservations SET expires_at = :now"
        await rows_of(database, tenant.id, statement, now=clock.now())
        await end_expired()

    async with interrupted(tenant, engine_settings, state, let_the_unit_expire) as (caller, _):
        answer = await caller.ask(project, QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (503, "answer_timeout")
    assert await message_states(database, tenant) == [("user", "failed")]
    assert await counter(database, tenant.id, "messages") == (0, 0)


async def test_the_scheduler_leaves_questions_in_time_alone(
    tenant: TenantClient,
    project: str,
    engine_settings: Settings,
    state: AppState,
    database: Database,
    end_expired: Callable[[], Awaitable[None]],
) -> None:
    async with interrupted(tenant, engine_settings, state, end_expired) as (caller, _):
        answer = await caller.ask(project, QUESTION)
    assert answer.status_code == 200
    assert await counter(database, tenant.id, "messages") == (1, 0)

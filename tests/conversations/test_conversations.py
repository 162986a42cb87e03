"""Tests that conversations are listed, read and deleted, and that answers get feedback."""

from __future__ import annotations

import asyncio

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from support.http_clients import TenantClient, TenantFactory
from support.interrupted_engines import interrupted
from support.tenant_records import counter, rows_of

QUESTION = "How many apple trees does the orchard keep?"


async def ask(tenant: TenantClient, project: str, question: str = QUESTION, conversation: str | None = None) -> str:
    """Ask, and return the id of the conversation."""
    body = {"project_id": project, "question": question} | ({"conversation_id": conversation} if conversation else {})
    answer = await tenant.post("/query/ask", json=body)
    found: str = answer.raise_for_status().json()["conversation_id"]
    return found


async def pages(tenant: TenantClient, path: str, items: str, **params: str) -> list[str]:
    """Return the ids of all items, which are read in pages of two."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = await tenant.get(path, params={"limit": "2", **params, **after})
        page = answer.raise_for_status().json()
        assert len(page[items]) <= 2
        found += [item["id"] for item in page[items]]
        if not page["has_more"]:
            assert page["next_after"] is None
            return found
        after = {"after": page["next_after"]}


async def test_conversations_are_listed_newest_first(tenant: TenantClient, project: str) -> None:
    made = [await ask(tenant, project) for _ in range(5)]
    other = await tenant.create_project("Other")
    elsewhere = await ask(tenant, other)
    assert await pages(tenant, "/query/conversations", "conversations") == [elsewhere, *reversed(made)]
    own = await pages(tenant, "/query/conversations", "conversations", project_id=project)
    assert own == list(reversed(made))
    unknown = await tenant.get("/query/conversations", params={"project_id": str(new_id())})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "project_not_found")


async def test_a_conversation_has_the_beginning_of_its_first_question_as_title(
    tenant: TenantClient, project: str
) -> None:
    long = "Tell me,\n please, " + "again and again, " * 20 + "how many trees there are."
    conversation = await ask(tenant, project, long)
    await ask(tenant, project, conversation=conversation)
    read = (await tenant.get(f"/query/conversations/{conversation}")).json()
    assert read["title"].startswith("Tell me, please, again and again,")
    assert read["title"].endswith("\u2026")
    assert len(read["title"]) <= 80
    assert (read["project_id"], read["message_count"]) == (project, 4)
    assert read["last_message_at"] > read["created_at"]
    (listed,) = (await tenant.get("/query/conversations")).json()["conversations"]
    assert listed == read


async def test_messages_are_read_in_the_order_of_the_talk(tenant: TenantClient, project: str) -> None:
    conversation = await ask(tenant, project)
    await ask(tenant, project, "Does the orchard keep pear trees?", conversation)
    path = f"/query/conversations/{conversation}/messages"
    messages = (await tenant.get(path)).json()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert [messages[0]["content"], messages[2]["content"]] == [QUESTION, "Does the orchard keep pear trees?"]
    assert [messages[1]["reply_to"], messages[3]["reply_to"]] == [messages[0]["id"], messages[2]["id"]]
    assert await pages(tenant, path, "messages") == [message["id"] for message in messages]
    answer = (await tenant.get(f"/query/messages/{messages[1]['id']}")).json()
    assert answer["citations"] == messages[1]["citations"] != []
    assert (messages[0]["citations"], messages[0]["engine"], messages[0]["answerable"]) == ([], None, None)


async def test_unknown_and_foreign_ids_are_one_404(
    tenant: TenantClient, project: str, make_tenant: TenantFactory
) -> None:
    conversation = await ask(tenant, project)
    messages = (await tenant.get(f"/query/conversations/{conversation}/messages")).json()["messages"]
    question, answer = (message["id"] for message in messages)
    stranger = await make_tenant()
    for caller, each in ((stranger, conversation), (tenant, str(new_id()))):
        path = f"/query/conversations/{each}"
        for asked in (caller.get(path), caller.get(f"{path}/messages"), caller.delete(path)):
            refused = await asked
            assert (refused.status_code, refused.json()["code"]) == (404, "conversation_not_found")
    body = {"rating": "up"}
    for caller, each in ((stranger, answer), (tenant, question), (tenant, str(new_id()))):
        path = f"/query/messages/{each}/feedback"
        for asked in (caller.post(path, json=body), caller.delete(path)):
            refused = await asked
            assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")
    elsewhere = await tenant.get(f"/query/conversations/{conversation}/messages", params={"after": str(new_id())})
    assert (elsewhere.status_code, elsewhere.json()["messages"]) == (200, [])
    assert (await tenant.get(f"/query/conversations/{conversation}")).json()["message_count"] == 2


async def test_a_deleted_conversation_is_gone_and_stays_counted(
    tenant: TenantClient, project: str, database: Database
) -> None:
    conversation, kept = await ask(tenant, project), await ask(tenant, project)
    answer = (await tenant.get(f"/query/conversations/{conversation}/messages")).json()["messages"][1]["id"]
    deleted = await tenant.delete(f"/query/conversations/{conversation}")
    assert deleted.json() == {"deleted_conversation_id": conversation, "messages_deleted": 2}
    assert await pages(tenant, "/query/conversations", "conversations") == [kept]
    for path in (f"/query/conversations/{conversation}", f"/query/messages/{answer}"):
        assert (await tenant.get(path)).status_code == 404
    body = {"project_id": project, "question": QUESTION, "conversation_id": conversation}
    refused = await tenant.post("/query/ask", json=body)
    assert (refused.status_code, refused.json()["code"]) == (404, "conversation_not_found")
    assert (await tenant.delete(f"/query/conversations/{conversation}")).status_code == 404
    assert await counter(database, tenant.id, "messages") == (2, 0)
    events = await rows_of(
        database, tenant.id, "SELECT target, details FROM audit_events WHERE action = 'conversation.deleted'"
    )
    assert [(event["target"], event["details"]) for event in events] == [(conversation, {"messages": 2})]


async def test_a_deleted_conversation_is_not_repeated_for_its_key(
    tenant: TenantClient, project: str, database: Database
) -> None:
    keys = [{"Idempotency-Key": name, "Prefer": "idempotency=replay"} for name in ("deleted", "kept")]
    deleted, kept = [(await tenant.ask(project, QUESTION, headers=key)).json() for key in keys]
    assert (await tenant.delete(f"/query/conversations/{deleted['conversation_id']}")).status_code == 200
    refused, repeated = [await tenant.ask(project, QUESTION, headers=key) for key in keys]
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_duplicate")
    assert repeated.json() == kept
    stored = "SELECT 1 FROM idempotency_keys WHERE route = 'POST /query/ask' AND answer IS NOT NULL"
    assert len(await rows_of(database, tenant.id, stored)) == 1
    assert await counter(database, tenant.id, "messages") == (2, 0)


async def test_a_question_whose_conversation_is_deleted_meanwhile_costs_nothing(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    async def delete_all() -> None:
        for conversation in await pages(tenant, "/query/conversations", "conversations"):
            assert (await tenant.delete(f"/query/conversations/{conversation}")).status_code == 200

    async with interrupted(tenant, engine_settings, state, delete_all) as (caller, _):
        answer = await caller.ask(project, QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (404, "conversation_not_found")
    assert await counter(database, tenant.id, "messages") == (0, 0)
    assert await rows_of(database, tenant.id, "SELECT id FROM messages") == []


async def test_deletions_beside_questions_lose_and_charge_nothing(
    tenant: TenantClient, project: str, database: Database
) -> None:
    conversation = await ask(tenant, project)
    body = {"project_id": project, "question": QUESTION, "conversation_id": conversation}
    questions = [tenant.post("/query/ask", json=body) for _ in range(6)]

    async def delete() -> int:
        await asyncio.sleep(0.02)
        return (await tenant.delete(f"/query/conversations/{conversation}")).status_code

    deleting = asyncio.create_task(delete())
    statuses = [answer.status_code for answer in await asyncio.gather(*questions)]
    assert await deleting == 200
    assert set(statuses) <= {200, 404}
    assert await counter(database, tenant.id, "messages") == (1 + statuses.count(200), 0)
    assert await rows_of(database, tenant.id, "SELECT id FROM messages") == []


async def test_feedback_is_stored_replaced_and_withdrawn(tenant: TenantClient, project: str) -> None:
    conversation = await ask(tenant, project)
    path = f"/query/conversations/{conversation}/messages"
    answer = (await tenant.get(path)).json()["messages"][1]
    assert answer["feedback"] is None
    feedback = f"/query/messages/{answer['id']}/feedback"
    first = await tenant.post(feedback, json={"rating": "down", "comment": " It is nine. "})
    assert (first.status_code, first.json()["rating"], first.json()["comment"]) == (200, "down", "It is nine.")
    second = (await tenant.post(feedback, json={"rating": "up"})).json()
    assert (second["rating"], second["comment"]) == ("up", None)
    read = (await tenant.get(path)).json()["messages"][1]
    assert read == {**answer, "feedback": second}
    assert (await tenant.get(f"/query/messages/{answer['id']}")).json()["feedback"] == second
    for _ in range(2):
        assert (await tenant.delete(feedback)).status_code == 204
    assert (await tenant.get(path)).json()["messages"][1] == answer


@pytest.mark.parametrize(
    "body",
    [{}, {"rating": "good"}, {"rating": "up", "comment": "x" * 2001}, {"rating": "up", "comment": "\0"}, {"rating": 1}],
)
async def test_feedback_that_is_none_is_refused(tenant: TenantClient, project: str, body: dict[str, object]) -> None:
    conversation = await ask(tenant, project)
    answer = (await tenant.get(f"/query/conversations/{conversation}/messages")).json()["messages"][1]["id"]
    assert (await tenant.post(f"/query/messages/{answer}/feedback", json=body)).status_code == 422
    assert (await tenant.get(f"/query/messages/{answer}")).json()["feedback"] is None

"""Each question gets one answer, and uses one message of the plan."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import counter, rows_of

FACT = "The orchard keeps nine apple trees."
QUESTION = "How many apple trees does the orchard keep?"
MESSAGES = "SELECT * FROM messages ORDER BY created_at, id"


async def test_an_answer_has_the_documented_shape(
    tenant: TenantClient, project: str, engine_name: str, database: Database
) -> None:
    (file,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    answer = await tenant.ask(project, QUESTION)
    assert answer.status_code == 200
    body = answer.json()
    (cited,) = body.pop("citations")
    assert cited.pop("score") > 0
    assert cited == {
        "file_id": file["id"],
        "filename": "orchard.txt",
        "version": 1,
        "quote": FACT,
        "page": None,
        "char_start": 0,
        "char_end": len(FACT),
        "support": {"local": "quoted", "openai": "aligned"}[engine_name],
        "verified": True,
    }
    UUID(body.pop("message_id"))
    UUID(body.pop("conversation_id"))
    assert body.pop("tokens_in") > len(QUESTION.split())
    assert body.pop("tokens_out") >= len(FACT.split())
    assert body == {
        "answer": FACT,
        "answerable": True,
        "truncated": False,
        "tokens_estimated": False,
        "engine": engine_name,
    }
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_question_and_answer_are_on_record(tenant: TenantClient, project: str, database: Database) -> None:
    body = (await tenant.ask(project, f"  {QUESTION}\n")).json()
    question, answer = sorted(await rows_of(database, tenant.id, MESSAGES), key=lambda row: row["role"], reverse=True)
    assert (question["role"], question["content"], question["state"]) == ("user", QUESTION, "completed")
    assert (answer["role"], answer["content"], answer["state"]) == ("assistant", FACT, "completed")
    assert (str(answer["id"]), answer["reply_to"]) == (body["message_id"], question["id"])
    assert {str(row["conversation_id"]) for row in (question, answer)} == {body["conversation_id"]}
    assert (answer["tokens_in"], answer["tokens_out"]) == (body["tokens_in"], body["tokens_out"])
    assert answer["citations"] == body["citations"]


async def test_a_refusal_cites_nothing_and_is_one_message(
    tenant: TenantClient, project: str, database: Database
) -> None:
    body = (await tenant.ask(project, "Which rocket engine burns methane at launch?")).json()
    assert (body["answerable"], body["citations"]) == (False, [])
    assert body["answer"]
    assert len(await rows_of(database, tenant.id, MESSAGES)) == 2
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_an_empty_project_refuses(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    body = (await tenant.ask(project, QUESTION)).json()
    assert (body["answerable"], body["citations"]) == (False, [])
    assert (await tenant.get("/limits/current")).json()["usage"]["messages_used"] == 1


async def test_a_project_answers_from_its_own_files_only(tenant: TenantClient, project: str) -> None:
    other = await tenant.create_project("Other")
    await tenant.upload(other, ("other.txt", b"Pears grow beside the wall."))
    assert (await tenant.ask(project, QUESTION)).json()["answerable"]
    assert not (await tenant.ask(other, QUESTION)).json()["answerable"]


async def test_a_conversation_goes_on(tenant: TenantClient, project: str, database: Database) -> None:
    first = (await tenant.ask(project, QUESTION)).json()
    second = await tenant.post(
        "/query/ask",
        json={"project_id": project, "question": QUESTION, "conversation_id": first["conversation_id"]},
    )
    assert second.json()["conversation_id"] == first["conversation_id"]
    third = (await tenant.ask(project, QUESTION)).json()
    assert third["conversation_id"] != first["conversation_id"]
    rows = await rows_of(database, tenant.id, "SELECT conversation_id, count(*) n FROM messages GROUP BY 1 ORDER BY 2")
    assert [(str(row["conversation_id"]), row["n"]) for row in rows] == [
        (third["conversation_id"], 2),
        (first["conversation_id"], 4),
    ]


async def test_unknown_and_foreign_ids_are_one_404_and_cost_nothing(
    tenant: TenantClient, project: str, make_tenant: TenantFactory, database: Database
) -> None:
    conversation = (await tenant.ask(project, QUESTION)).json()["conversation_id"]
    stranger = await make_tenant()
    own = await stranger.create_project()
    cases = [
        ({"project_id": project}, "project_not_found"),
        ({"project_id": str(new_id())}, "project_not_found"),
        ({"project_id": own, "conversation_id": conversation}, "conversation_not_found"),
        ({"project_id": own, "conversation_id": str(new_id())}, "conversation_not_found"),
    ]
    for ids, code in cases:
        answer = await stranger.post("/query/ask", json={"question": QUESTION, **ids})
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert await rows_of(database, stranger.id, MESSAGES) == []
    assert await counter(database, stranger.id, "messages") == (0, 0)


async def test_a_conversation_belongs_to_its_project(tenant: TenantClient, project: str) -> None:
    conversation = (await tenant.ask(project, QUESTION)).json()["conversation_id"]
    other = await tenant.create_project("Other")
    answer = await tenant.post(
        "/query/ask", json={"project_id": other, "question": QUESTION, "conversation_id": conversation}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "conversation_not_found")
    assert (await tenant.get("/limits/current")).json()["usage"]["messages_used"] == 1


async def test_an_answer_can_be_read_again(
    tenant: TenantClient, project: str, make_tenant: TenantFactory, database: Database
) -> None:
    body = (await tenant.ask(project, QUESTION)).json()
    again = await tenant.get(f"/query/messages/{body['message_id']}")
    assert (again.status_code, again.json()) == (200, {**body, "feedback": None})
    assert await counter(database, tenant.id, "messages") == (1, 0)
    (question,) = await rows_of(database, tenant.id, "SELECT id FROM messages WHERE role = 'user'")
    stranger = await make_tenant()
    for caller, message_id in (
        (stranger, body["message_id"]),
        (tenant, str(question["id"])),
        (tenant, str(new_id())),
    ):
        answer = await caller.get(f"/query/messages/{message_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    assert (await tenant.get("/query/messages/first")).status_code == 422

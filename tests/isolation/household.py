"""A tenant with something of everything, for others to look for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import text

from bookkeeping import eventually
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.rollup import UsageRollUp
from http_clients import TenantClient
from isolation.catalogue import TenantTable


@dataclass(frozen=True, slots=True)
class Household:
    """A tenant with a row in every table.

    `ids` has one of its ids for each place where requests take one, by the place's name. Its `word` stands in every
    text it ever sent, and nowhere else.
    """

    tenant: TenantClient
    word: str
    ids: Mapping[str, str]

    @property
    def fact(self) -> str:
        """The text of its document."""
        return fact(self.word)

    @property
    def question(self) -> str:
        """What its document answers."""
        return question(self.word)

    @property
    def key(self) -> str:
        """The `Idempotency-Key` it used."""
        return f"key-of-{self.word}"

    @property
    def project_name(self) -> str:
        """As it was created."""
        return f"The {self.word} project"


def fact(word: str) -> str:
    return f"The vault of the north wing opens with the code {word}."


def question(word: str) -> str:
    return f"What opens the vault of the north wing, {word} perhaps?"


async def settle(client: httpx2.AsyncClient, settings: Settings, database: Database, word: str) -> Household:
    """Made by the API alone, but for the month's usage and what only OpenAI's projects have. A worker must be running.

    A new kind of row needs a request here, and its id an entry in `ids`.
    """
    made = await client.post("/tenants/create", params={"name": f"The {word} family", "plan_id": "hobby"})
    tenant_id = UUID(made.json()["tenant_id"])
    tenant = TenantClient(tenant_id, client, {"Authorization": f"Bearer {sign_token(tenant_id, settings)}"})
    household = Household(tenant, word, {})
    key = {"Idempotency-Key": household.key}
    created = await tenant.post("/ingestion/projects/create", params={"name": household.project_name}, headers=key)
    project: str = created.json()["id"]
    upload: dict[str, Any] = (await tenant.upload(project, (f"{word}.txt", household.fact.encode()))).json()
    assert upload["batch_status"] == "completed"
    answer: dict[str, Any] = (await tenant.ask(project, household.question, headers=key)).json()
    assert answer["answerable"]
    export = (await tenant.post("/tenants/export", params={"include_files": True}, headers=key)).json()["id"]
    api_key = (await tenant.post("/api-keys", json={"name": f"The {word} key"}, headers=key)).json()["id"]
    await UsageRollUp(database).run()
    await _record_provider_objects(database, tenant_id, project)
    await _at_rest(tenant, project, export)
    file = upload["files"][0]["id"]
    ids = {
        "tenant_id": str(tenant_id),
        "x-tenant-id": str(tenant_id),
        "project_id": project,
        "openai_file_id": file,
        "after": file,
        "conversation_id": answer["conversation_id"],
        "message_id": answer["message_id"],
        "export_id": export,
        "key_id": api_key,
    }
    return Household(tenant, word, ids)


async def _record_provider_objects(database: Database, tenant_id: UUID, project: str) -> None:
    """As the hosted engine does, without asking anybody."""
    async with database.tenant(tenant_id) as session:
        await session.execute(
            text(
                "INSERT INTO provider_stores (tenant_id, project_id, id, state, provider_id) "
                "VALUES (:tenant, :project, gen_random_uuid(), 'ready', 'vs_none')"
            ),
            {"tenant": tenant_id, "project": UUID(project)},
        )
        await session.execute(
            text(
                "INSERT INTO provider_files (tenant_id, id, project_id, sha256, state) "
                "VALUES (:tenant, gen_random_uuid(), :project, 'none', 'ready')"
            ),
            {"tenant": tenant_id, "project": UUID(project)},
        )


async def _at_rest(tenant: TenantClient, project: str, export: str) -> None:
    """Until no worker changes anything of it any more."""

    async def rests() -> bool:
        listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()
        archive = (await tenant.get(f"/tenants/exports/{export}")).json()
        return bool(listed["embedded"] == 1 and archive["status"] == "completed")

    await eventually(rests)


async def fingerprint(database: Database, tenant_id: UUID, tables: Sequence[TenantTable]) -> dict[str, str]:
    """Enough to notice that a row was added, changed, hidden or removed."""
    rows = "SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {name} t"
    async with database.tenant(tenant_id) as session:
        return {table.name: str(await session.scalar(text(rows.format(name=table.name)))) for table in tables}

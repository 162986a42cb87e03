"""A tenant with something of everything, for others to look for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import text

from fastapi_ignite.core.config import Settings, default_settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from fastapi_ignite.ingestion.upload_reservation import UploadReservation
from fastapi_ignite.usage.rollup import UsageRollUp
from isolation.catalogue import TenantTable
from support.both_engines import ENGINES
from support.feature_contracts import contracts
from support.http_clients import TenantClient
from support.tenant_records import eventually


@dataclass(frozen=True, slots=True)
class Household:
    """A tenant with a row in every table, and a project of each engine.

    Its `word` stands in every text it ever sent, and nowhere else.
    """

    tenant: TenantClient
    word: str
    ids_by_engine: Mapping[str, Mapping[str, str]]
    engine: str = "local"

    @property
    def ids(self) -> Mapping[str, str]:
        """One of its ids for each place where requests take one, by the place's name."""
        return self.ids_by_engine[self.engine]

    @property
    def all_ids(self) -> set[tuple[str, str]]:
        """Return the ids in the projects of all engines, with the names of their places."""
        return {each for ids in self.ids_by_engine.values() for each in ids.items()}

    def at(self, engine: str) -> Household:
        """As one that knows the project of this engine alone."""
        return replace(self, engine=engine)

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


HouseholdFactory = Callable[[str], Awaitable[Household]]


def fact(word: str) -> str:
    return f"The vault of the north wing opens with the code {word}."


def question(word: str) -> str:
    return f"What opens the vault of the north wing, {word} perhaps?"


async def settle(
    client: httpx2.AsyncClient,
    hosted: httpx2.AsyncClient,
    settings: Settings,
    database: Database,
    word: str,
) -> Household:
    """Made by the API alone, but for the month's usage and an upload on its way. A worker must be running.

    `hosted` starts projects at OpenAI, if that engine is there. The contracts of the features make the other rows.
    """
    made = await client.post("/tenants/create", params={"name": f"The {word} family", "plan_id": "hobby"})
    tenant_id = UUID(made.json()["tenant_id"])
    tenant = TenantClient(tenant_id, client, {"Authorization": f"Bearer {sign_token(tenant_id, settings)}"})
    key = {"Idempotency-Key": f"key-of-{word}"}
    ids = {"tenant_id": str(tenant_id), "x-tenant-id": str(tenant_id)}
    for contract in contracts().values():
        ids |= await contract.create_rows(tenant, word)
    projects = {"local": ids | await _project(tenant, word, f"The {word} project", key)}
    if "openai" in ENGINES:
        elsewhere = TenantClient(tenant_id, hosted, tenant.headers)
        projects["openai"] = ids | await _project(elsewhere, word, f"The {word} project at OpenAI", {})
    household = Household(tenant, word, projects)
    await UsageRollUp(database).run()
    await _begin_upload(database, tenant_id)
    await _at_rest(household)
    return household


async def _project(tenant: TenantClient, word: str, name: str, key: Mapping[str, str]) -> dict[str, str]:
    """One that knows the word's fact and was asked about it; its ids."""
    created = await tenant.post("/ingestion/projects/create", params={"name": name}, headers=dict(key))
    project: str = created.json()["id"]
    upload: dict[str, Any] = (await tenant.upload(project, (f"{word}.txt", fact(word).encode()))).json()
    assert upload["batch_status"] == "completed"
    answer: dict[str, Any] = (await tenant.ask(project, question(word), headers=dict(key))).json()
    assert answer["answerable"]
    file = upload["files"][0]["id"]
    return {
        "project_id": project,
        "openai_file_id": file,
        "after": file,
        "conversation_id": answer["conversation_id"],
        "message_id": answer["message_id"],
    }


async def _begin_upload(database: Database, tenant_id: UUID) -> None:
    """One that holds something and does not end while the tests run."""
    reservation = UploadReservation(database, tenant_id=tenant_id, upload_id=new_id(), bounds=default_settings().upload)
    async with database.tenant(tenant_id) as session:
        await reservation.begin(session, declared_bytes=1000)
        await session.execute(text("UPDATE uploads SET lease_until = now() + interval '1 day'"))


async def _at_rest(household: Household) -> None:
    """Until no worker changes anything of it any more."""
    tenant, ids = household.tenant, household.ids

    async def rests() -> bool:
        listed = (await tenant.get(f"/ingestion/projects/{ids['project_id']}/files")).json()
        others = [await contract.is_at_rest(tenant, ids) for contract in contracts().values()]
        return bool(listed["embedded"] == 1 and all(others))

    await eventually(rests)


async def fingerprint(database: Database, tenant_id: UUID, tables: Sequence[TenantTable]) -> dict[str, str]:
    """Enough to notice that a row was added, changed, hidden or removed."""
    rows = "SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {name} t"
    async with database.tenant(tenant_id) as session:
        return {table.name: str(await session.scalar(text(rows.format(name=table.name)))) for table in tables}

"""A tenant that has rows in every table, for tests that try to reach them as another tenant."""

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
class SampleTenant:
    """A tenant with a row in every table, and a project of each engine.

    Every text that the tenant has sent contains `word`, which stands in no other text. `engine` selects the project
    whose ids `ids` returns.
    """

    tenant: TenantClient
    word: str
    ids_by_engine: Mapping[str, Mapping[str, str]]
    engine: str = "local"

    @property
    def ids(self) -> Mapping[str, str]:
        """Return the id for each place of a request that takes one, by the place's name."""
        return self.ids_by_engine[self.engine]

    @property
    def all_ids(self) -> set[tuple[str, str]]:
        """Return the names of the places and the ids, of the projects of all engines."""
        return {each for ids in self.ids_by_engine.values() for each in ids.items()}

    def at(self, engine: str) -> SampleTenant:
        """Return the same tenant with the ids of this engine's project."""
        return replace(self, engine=engine)

    @property
    def fact(self) -> str:
        """Return the text of its document."""
        return fact(self.word)

    @property
    def question(self) -> str:
        """Return a question that its document answers."""
        return question(self.word)

    @property
    def key(self) -> str:
        """Return the `Idempotency-Key` that it has used."""
        return f"key-of-{self.word}"

    @property
    def project_name(self) -> str:
        """Return the name with which its project was created."""
        return f"The {self.word} project"


SampleTenantFactory = Callable[[str], Awaitable[SampleTenant]]


def fact(word: str) -> str:
    return f"The vault of the north wing opens with the code {word}."


def question(word: str) -> str:
    return f"What opens the vault of the north wing, {word} perhaps?"


async def build_sample_tenant(
    client: httpx2.AsyncClient,
    openai_client: httpx2.AsyncClient,
    settings: Settings,
    database: Database,
    word: str,
) -> SampleTenant:
    """Make a sample tenant; a worker must be running.

    Everything is made through the API, except for the rolled-up usage and an unfinished upload. Projects start at
    OpenAI through `openai_client`, if that engine is present. The contracts of the features make the rows of the other
    tables.
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
        elsewhere = TenantClient(tenant_id, openai_client, tenant.headers)
        projects["openai"] = ids | await _project(elsewhere, word, f"The {word} project at OpenAI", {})
    sample_tenant = SampleTenant(tenant, word, projects)
    await UsageRollUp(database).run()
    await _begin_upload(database, tenant_id)
    await _at_rest(sample_tenant)
    return sample_tenant


async def _project(tenant: TenantClient, word: str, name: str, key: Mapping[str, str]) -> dict[str, str]:
    """Make a project, upload the word's fact, ask about it, and return the ids."""
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
        "file_id": file,
        "batch_id": upload["batch_id"],
        "after": file,
        "conversation_id": answer["conversation_id"],
        "message_id": answer["message_id"],
    }


async def _begin_upload(database: Database, tenant_id: UUID) -> None:
    """Insert an upload that reserves bytes and does not end while the tests run."""
    reservation = UploadReservation(database, tenant_id=tenant_id, upload_id=new_id(), bounds=default_settings().upload)
    async with database.tenant(tenant_id) as session:
        await reservation.begin(session, declared_bytes=1000)
        await session.execute(text("UPDATE uploads SET lease_until = now() + interval '1 day'"))


async def _at_rest(sample_tenant: SampleTenant) -> None:
    """Wait until no worker changes a row of the tenant any more."""
    tenant, ids = sample_tenant.tenant, sample_tenant.ids

    async def rests() -> bool:
        listed = (await tenant.get(f"/ingestion/projects/{ids['project_id']}/files")).json()
        others = [await contract.is_at_rest(tenant, ids) for contract in contracts().values()]
        return bool(listed["embedded"] == 1 and all(others))

    await eventually(rests)


async def fingerprint(database: Database, tenant_id: UUID, tables: Sequence[TenantTable]) -> dict[str, str]:
    """Return a hash of the tenant's rows in each table; any added, changed, hidden or removed row changes it."""
    rows = "SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {name} t"
    async with database.tenant(tenant_id) as session:
        return {table.name: str(await session.scalar(text(rows.format(name=table.name)))) for table in tables}

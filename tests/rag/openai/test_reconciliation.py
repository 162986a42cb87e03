"""Objects at the provider that no row knows must be deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from openai import AsyncOpenAI
from sqlalchemy import text

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from fastapi_ignite.rag.openai.reconciliation import INSTALLATION_KEY, STORE_KEY, Reconciliation, installation_of
from rag.openai.hosted_tenant import HostedTenant

from openai_simulator.server import RunningSimulator

MOST_PARAMETERS = 32_767


@pytest.fixture
def reconciliation(database: Database, engine: OpenAIEngine) -> Reconciliation:
    """Return a reconciliation for which the grace period of everything that the test made is over."""
    return Reconciliation(database, engine.service, grace=timedelta(minutes=-5))


async def test_a_project_that_is_gone_leaves_no_store_and_no_file(
    hosted: HostedTenant, provider: RunningSimulator, database: Database, reconciliation: Reconciliation
) -> None:
    kept, gone = await hosted.api.create_project("Kept"), await hosted.api.create_project("Gone")
    for project in (kept, gone):
        await hosted.ingest(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
    async with database.tenant(hosted.api.id) as session:
        installation = await installation_of(session)
    async with AsyncOpenAI(base_url=provider.base_url, api_key="sk-test") as other:
        foreign = await other.vector_stores.create(metadata={STORE_KEY: gone, INSTALLATION_KEY: "other"})
        await other.files.create(file=(f"ignite-other-{gone}.md", b"x"), purpose="assistants")
        await other.vector_stores.create(
            metadata={STORE_KEY: (await hosted.rows("SELECT id FROM provider_stores"))[0]["id"].hex}
            | {INSTALLATION_KEY: installation}
        )
    await hosted.rows("DELETE FROM files WHERE project_id = :id", id=gone)
    await hosted.rows("DELETE FROM projects WHERE id = :id", id=gone)
    # a store that was made twice, the deleted project's store and file, and what other tests left behind
    assert await reconciliation.run() >= 3
    known = {row["provider_id"] for row in await hosted.rows("SELECT provider_id FROM provider_stores")}
    assert {store.id for store in provider.simulator.state.vector_stores} == known | {foreign.id}
    assert provider.simulator.state.existing()["files"] == 2
    assert await reconciliation.run() == 0
    assert (await hosted.api.ask(kept, "How many apple trees does the orchard keep?")).json()["answerable"]


async def test_what_is_left_of_an_erased_tenant_goes(
    hosted: HostedTenant, provider: RunningSimulator, database: Database, reconciliation: Reconciliation
) -> None:
    """A worker that dies in the last moment can make a store whose row goes with the tenant's."""
    project = await hosted.api.create_project("Gone")
    await hosted.ingest(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
    named = "SELECT provider_id FROM provider_stores UNION ALL SELECT provider_id FROM provider_files"
    left = {row["provider_id"] for row in await hosted.rows(named)}
    assert len(left) == 2
    await hosted.rows("DELETE FROM files")
    async with database.system() as session:
        await session.execute(text("DELETE FROM tenants WHERE id = :id"), {"id": hosted.api.id})
    assert await reconciliation.run() >= len(left)
    state = provider.simulator.state
    assert left & {each.id for each in (*state.vector_stores, *state.files)} == set()


async def test_work_in_progress_is_left_alone(
    hosted: HostedTenant, provider: RunningSimulator, engine: OpenAIEngine
) -> None:
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
    await hosted.rows("UPDATE provider_files SET document_id = NULL")
    assert await engine.reconcile() == 0
    assert provider.simulator.state.existing()["files"] == 1


async def test_a_file_whose_document_never_came_is_removed(
    hosted: HostedTenant, provider: RunningSimulator, reconciliation: Reconciliation
) -> None:
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
    await hosted.rows("UPDATE provider_files SET document_id = NULL")
    assert await reconciliation.run() >= 1  # other tests may have left more
    assert provider.simulator.state.existing()["files"] == 0
    assert await hosted.rows("SELECT 1 FROM provider_files") == []


async def test_in_an_account_of_very_many_files_an_orphan_is_found(
    hosted: HostedTenant, provider: RunningSimulator, database: Database, reconciliation: Reconciliation
) -> None:
    """There are more files than a statement can have parameters.

    The row without a provider's id could belong to any of the files, so none of them may be deleted.
    """
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
    await reconciliation.run()  # what other tests of this database left behind
    await hosted.rows("UPDATE provider_files SET provider_id = NULL")
    async with database.system() as session:
        installation = await installation_of(session)
    files = provider.simulator.state.files
    (sent,) = files
    orphan = f"ignite-{installation}-{new_id()}.md"
    for number, name in enumerate([orphan, *[sent.filename] * MOST_PARAMETERS]):
        files.add(f"file-{number}", sent.model_copy(update={"id": f"file-{number}", "filename": name}))
    assert await reconciliation.run() == 1
    assert len(files) == MOST_PARAMETERS + 1
    assert orphan not in {file.filename for file in files}

"""Tests of what a process checks about its embedding server when it starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from support.command_line import CommandLine, Finished, open_folder
from support.embedding_server import EmbeddingServer, running_embedding_server
from support.http_clients import TenantClient, TenantFactory, client_for
from support.tenant_records import rows_of


@pytest.fixture
async def server() -> AsyncGenerator[EmbeddingServer]:
    async with running_embedding_server() as running:
        yield running


def with_server(settings: Settings, server: EmbeddingServer, **changes: object) -> Settings:
    return settings.model_copy(update={"embedding": server.settings(**changes)})


async def run(command: str, addresses: ServiceAddresses, server: EmbeddingServer, **variables: str) -> Finished:
    """Run a command of the program with the settings of this server."""
    with open_folder() as folder:
        commands = CommandLine.on_servers(folder, addresses)
        known = {"EMBEDDING_BASE_URL": f"{server.url}/v1", "EMBEDDING_MODEL": server.model}
        return await asyncio.to_thread(commands.run, command, **known | variables)


async def test_new_projects_are_the_servers(
    settings: Settings, addresses: ServiceAddresses, server: EmbeddingServer, make_tenant: TenantFactory
) -> None:
    tenant = await make_tenant()
    serving = with_server(settings, server)
    async with open_state(serving, addresses) as state, client_for(serving, state) as client:
        assert server.texts == ["dimension"]
        project = await TenantClient(tenant.id, client, tenant.headers).create_project()
        answer = await client.post(f"/ingestion/projects/{project}/ensure_vector_store", headers=tenant.headers)
        assert answer.is_success, answer.text
        rows = await rows_of(state["database"], tenant.id, "SELECT embedder, dimensions FROM rag_indexes")
    assert [(row["embedder"], row["dimensions"]) for row in rows] == [(f"http:{server.model}", 8)]


async def test_the_api_does_not_start_on_vectors_of_another_length(
    settings: Settings, addresses: ServiceAddresses, server: EmbeddingServer
) -> None:
    with pytest.raises(ConfigurationError, match="8 dimensions, not 512"):
        async with open_state(with_server(settings, server, dimensions=512), addresses):
            pass


async def test_it_starts_without_a_server_that_is_away(
    settings: Settings, addresses: ServiceAddresses, server: EmbeddingServer
) -> None:
    server.status = 503
    async with open_state(with_server(settings, server), addresses) as state:
        assert "local" in state["engines"]
    assert len(server.requests) == 1


async def test_a_worker_does_not_start_on_vectors_of_another_length(
    addresses: ServiceAddresses, server: EmbeddingServer
) -> None:
    finished = await run("worker", addresses, server, EMBEDDING_DIMENSIONS="512")
    assert finished.code == 1
    assert finished.error.splitlines()[-1].startswith("error: EMBEDDING_DIMENSIONS: ")


async def test_the_doctor_tells_what_the_server_says(addresses: ServiceAddresses, server: EmbeddingServer) -> None:
    server.status = 401
    finished = await run("doctor", addresses, server)
    assert finished.findings()["embedder"].startswith(f"warn http:{server.model}: the server answered 401")
    assert finished.code == 0

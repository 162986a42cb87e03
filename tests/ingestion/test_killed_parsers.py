"""Tests that a file whose parser was killed is tried again, but not for ever."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS
from fastapi_ignite.ingestion.processing import FileProcessor
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.tenant_records import counter, rows_of

pytestmark = of_the_local_engine  # no engine gets a text that was never extracted
CONTENT = b"The orchard keeps nine apple trees."


def _parsers() -> list[int]:
    """Return the processes that the fork server of this process has forked."""
    servers = [pid for pid in _children(os.getpid()) if b"fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [parser for server in servers for parser in _children(server)]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def killing_parsers() -> AsyncGenerator[None]:
    """Kill each parser as soon as it has started, as the kernel does when memory runs out."""

    async def kill() -> None:
        while True:
            for pid in _parsers():
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.002)

    killing = asyncio.create_task(kill())
    try:
        yield
    finally:
        killing.cancel()
        await asyncio.wait([killing])


async def _file(tenant: TenantClient, project: str) -> dict[str, Any]:
    (file,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    return dict(file)


async def test_a_file_survives_a_killed_parser_and_a_poisonous_one_ends(
    tenant_without_worker: TenantClient, database: Database, make_processor: Callable[..., FileProcessor]
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    answer = await tenant.upload(project, ("guide.txt", CONTENT), wait_seconds=0)
    file_id = UUID(answer.json()["files"][0]["id"])
    processor = make_processor()
    async with killing_parsers():
        for attempt in range(1, MAX_ATTEMPTS + 1):
            await processor.process(tenant.id, file_id)
            file = await _file(tenant, project)
            assert file["status"] == ("in_progress" if attempt < MAX_ATTEMPTS else "failed")
            error = file["last_error"]
            assert (error["code"], error["stage"], error["retryable"]) == ("extraction_crashed", "extracting", True)
            await rows_of(database, tenant.id, "UPDATE files SET lease_until = now()")  # ends its pause
    assert await counter(database, tenant.id, "characters") == (0, 0)


async def test_the_next_attempt_completes_the_file(
    tenant_without_worker: TenantClient, database: Database, make_processor: Callable[..., FileProcessor]
) -> None:
    tenant = tenant_without_worker
    project = await tenant.create_project()
    answer = await tenant.upload(project, ("guide.txt", CONTENT), wait_seconds=0)
    file_id = UUID(answer.json()["files"][0]["id"])
    async with killing_parsers():
        await make_processor().process(tenant.id, file_id)
    await make_processor().process(tenant.id, file_id)
    assert (await _file(tenant, project))["status"] == "in_progress", "the pause is not over yet"
    await rows_of(database, tenant.id, "UPDATE files SET lease_until = now()")
    await make_processor().process(tenant.id, file_id)
    file = await _file(tenant, project)
    assert (file["status"], file["last_error"]) == ("completed", None)
    assert await counter(database, tenant.id, "characters") == (len(CONTENT), 0)

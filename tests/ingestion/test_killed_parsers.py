"""Tests that a file whose parser was killed is tried again, but not for ever."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.extraction import parser_processes
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.tenant_records import counter, rows_of

pytestmark = of_the_local_engine  # no engine gets a text that was never extracted
CONTENT = b"The orchard keeps nine apple trees."


# A fork server whose parsers are killed as soon as they have started, as the kernel does when memory runs out.
KILLED_PARSERS = """
import os, signal
from fastapi_ignite.rag.extraction import child, fork_server
child.main = lambda: os.kill(os.getpid(), signal.SIGKILL)
fork_server.main()
"""


@contextmanager
def killed_parsers() -> Iterator[None]:
    server = parser_processes.server_of_this_process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_command", (sys.executable, "-P", "-s", "-c", KILLED_PARSERS))
        server.kill()  # the next parser needs a new server
        yield
    server.kill()


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
    with killed_parsers():
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
    with killed_parsers():
        await make_processor().process(tenant.id, file_id)
    await make_processor().process(tenant.id, file_id)
    assert (await _file(tenant, project))["status"] == "in_progress", "the pause is not over yet"
    await rows_of(database, tenant.id, "UPDATE files SET lease_until = now()")
    await make_processor().process(tenant.id, file_id)
    file = await _file(tenant, project)
    assert (file["status"], file["last_error"]) == ("completed", None)
    assert await counter(database, tenant.id, "characters") == (len(CONTENT), 0)

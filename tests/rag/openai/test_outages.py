"""Files that wait for a provider, and removals that a provider refuses."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS
from fastapi_ignite.ingestion.processing import LONGEST_WAIT
from fastapi_ignite.rag.openai.repository import ProviderRepository
from rag.openai.hosted_tenant import HostedTenant
from support.tenant_records import counter

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

FACT = "The orchard keeps nine apple trees."


async def remaining(hosted: HostedTenant, file: UUID, *, table: str = "files") -> float:
    """Return the seconds until a worker may take the file, or its deletion."""
    (row,) = await hosted.rows(
        f"SELECT extract(epoch FROM lease_until - now()) AS seconds FROM {table} WHERE id = :id",  # noqa: S608  a constant
        id=file,
    )
    return float(row["seconds"])


async def test_a_file_waits_as_long_as_the_provider_says_and_loses_no_try(
    hosted: HostedTenant, provider: RunningSimulator
) -> None:
    limited: dict[str, Any] = {"route": "files.create", "kind": "status", "status": 429, "retry_after": 90}
    provider.simulator.faults.add(Fault.model_validate(limited | {"times": MAX_ATTEMPTS + 2}))
    project = await hosted.api.create_project()
    (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
    assert 80 < await remaining(hosted, file) <= 90
    row = await hosted.file(file)
    assert (row["last_error"]["code"], row["last_error"]["retryable"]) == ("provider_rate_limited", True)
    await hosted.work(*[file] * (MAX_ATTEMPTS + 1))
    row = await hosted.file(file)
    assert (row["state"], row["attempt"]) == ("chunking", MAX_ATTEMPTS + 2)
    assert await counter(hosted.database, hosted.api.id, "characters") == (0, len(FACT)), "held for it"
    await hosted.work(file)
    assert (await hosted.file(file))["state"] == "completed"
    assert await counter(hosted.database, hosted.api.id, "characters") == (len(FACT), 0)


async def test_failures_that_are_no_outage_are_tried_five_times(
    hosted: HostedTenant, provider: RunningSimulator
) -> None:
    broken: dict[str, Any] = {"route": "files.create", "kind": "status", "status": 409, "times": 100}
    provider.simulator.faults.add(Fault.model_validate(broken))
    project = await hosted.api.create_project()
    (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
    await hosted.work(*[file] * (MAX_ATTEMPTS - 2))
    assert (await hosted.file(file))["last_error"]["code"] == "provider_failed"
    await hosted.work(file)
    row = await hosted.file(file)
    assert (row["state"], row["attempt"]) == ("failed", MAX_ATTEMPTS)
    assert (row["last_error"]["code"], row["last_error"]["retryable"]) == ("provider_failed", True)
    assert await counter(hosted.database, hosted.api.id, "characters") == (0, 0)


async def test_what_another_attempt_holds_is_put_off_and_loses_no_try(hosted: HostedTenant) -> None:
    """The worker that holds the lease has died, and the lease lasts two more minutes."""
    project = await hosted.api.create_project()
    (file,) = await hosted.upload(project, ("orchard.txt", FACT.encode()))
    async with hosted.database.tenant(hosted.api.id) as session:
        await ProviderRepository(session, hosted.api.id).claim_file(UUID(project), sha256(FACT.encode()).digest())
    await hosted.work(file)
    row = await hosted.file(file)
    assert (row["state"], row["attempt"], row["waits"]) == ("chunking", 1, 1)
    assert row["last_error"]["code"] == "provider_unavailable"
    await hosted.rows("UPDATE provider_files SET lease_until = now()")
    await hosted.work(file)
    assert (await hosted.file(file))["state"] == "completed"


async def test_a_file_does_not_wait_for_ever(hosted: HostedTenant, provider: RunningSimulator) -> None:
    away: dict[str, Any] = {"route": "files.create", "kind": "status", "status": 503, "times": 100}
    provider.simulator.faults.add(Fault.model_validate(away))
    project = await hosted.api.create_project()
    (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
    assert (await hosted.file(file))["state"] == "chunking"
    then = clock.now() - LONGEST_WAIT - timedelta(minutes=1)
    await hosted.rows("UPDATE files SET queued_at = :then WHERE id = :id", then=then, id=file)
    await hosted.work(file)
    row = await hosted.file(file)
    assert (row["state"], row["last_error"]["code"]) == ("failed", "provider_unavailable")
    assert row["last_error"]["retryable"]
    assert await counter(hosted.database, hosted.api.id, "characters") == (0, 0)


@pytest.mark.parametrize(
    ("fault", "code", "pause"),
    [
        ({"kind": "status", "status": 500}, "provider_failed", 0),
        ({"kind": "reset", "when": "after"}, "provider_failed", 0),
        ({"kind": "status", "status": 429, "retry_after": 100}, "provider_rate_limited", 90),
    ],
)
@pytest.mark.parametrize("route", ["files.delete", "vector_stores.files.delete"])
async def test_a_removal_that_the_provider_refuses_is_done_later(
    hosted: HostedTenant, provider: RunningSimulator, route: str, fault: dict[str, Any], code: str, pause: int
) -> None:
    project = await hosted.api.create_project()
    (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
    provider_id = (await hosted.rows("SELECT provider_id FROM provider_files"))[0]["provider_id"]
    path = f"/ingestion/projects/{project}/remove_file"
    await hosted.api.delete(path, params={"openai_file_id": str(file), "delete_raw": True})
    provider.simulator.faults.add(Fault.model_validate({"route": route, **fault}))
    await hosted.processor.delete(hosted.api.id, file)
    receipt = (await hosted.api.get(f"/deletions/{file}")).json()
    assert (receipt["state"], receipt["last_error"]["code"]) == ("in_progress", code)
    assert await remaining(hosted, file, table="deletions") > pause
    await hosted.remove_now(file)
    receipt = (await hosted.api.get(f"/deletions/{file}")).json()
    assert (receipt["state"], receipt["last_error"], receipt["provider_ids"]) == ("completed", None, [provider_id])
    assert (receipt["removed"]["files"], receipt["removed"]["bytes"]) == (1, len(FACT))
    assert (await hosted.file(file))["state"] == "deleted"
    existing = provider.simulator.state.existing()
    assert (existing["files"], existing["vector_store_files"]) == (0, 0)
    assert await hosted.rows("SELECT 1 FROM documents UNION ALL SELECT 1 FROM provider_files") == []

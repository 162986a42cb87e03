"""The worker waits for a slow provider: while an attempt runs, no second one begins."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fastapi_ignite.infra.jobs import leases
from fastapi_ignite.rag.openai import indexing, repository
from rag.openai.hosted_tenant import HostedTenant
from support.tenant_records import eventually

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

FACT = b"The orchard keeps nine apple trees."
LEASE = timedelta(seconds=1.5)
OVER = LEASE.total_seconds() + 0.1


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (leases, repository, indexing):
        monkeypatch.setattr(module, "LEASE", LEASE)


@pytest.mark.parametrize(
    ("failures", "latency"),
    [(0, {"files.create": 3}), (1, {"files.*": 2})],
    ids=["a slow upload", "a slow list before it"],
)
async def test_a_file_is_sent_once(
    hosted: HostedTenant, provider: RunningSimulator, failures: int, latency: dict[str, float]
) -> None:
    project = await hosted.api.create_project()
    one, other = await hosted.upload(project, ("one.txt", FACT), ("other.txt", FACT))
    for _ in range(failures):
        provider.simulator.faults.add(Fault.model_validate({"route": "files.create", "kind": "reset"}))
        await hosted.work(one)
    provider.simulator.behaviour.latency_seconds = latency
    working = asyncio.create_task(hosted.work(one))
    await asyncio.sleep(OVER)
    await hosted.work(other)
    await working
    await hosted.work(other)
    assert [(await hosted.file(file))["state"] for file in (one, other)] == ["completed"] * 2
    assert provider.simulator.state.created()["files"] == 1


async def test_a_store_is_made_once(hosted: HostedTenant, provider: RunningSimulator) -> None:
    project = await hosted.api.create_project()
    provider.simulator.behaviour.latency_seconds = {"vector_stores.create": 3}
    path = f"/ingestion/projects/{project}/ensure_vector_store"
    first = asyncio.create_task(hosted.api.post(path))
    await asyncio.sleep(OVER)
    second = await hosted.api.post(path)
    assert (await first).json()["vector_store_id"] == second.json()["vector_store_id"]
    assert provider.simulator.state.created()["vector_stores"] == 1


async def test_an_attempt_that_was_overtaken_ends(hosted: HostedTenant, provider: RunningSimulator) -> None:
    """The process has slept longer than its lease. The file loses no try by that."""
    project = await hosted.api.create_project()
    (file,) = await hosted.upload(project, ("one.txt", FACT))
    provider.simulator.behaviour.latency_seconds = {"files.create": 4}
    working = asyncio.create_task(hosted.work(file))

    async def overtaken() -> bool:
        return bool(await hosted.rows("UPDATE provider_files SET attempt = attempt + 1 RETURNING id"))

    await eventually(overtaken)
    began = asyncio.get_running_loop().time()
    await working
    assert asyncio.get_running_loop().time() - began < 3
    row = await hosted.file(file)
    assert (row["state"], row["waits"], row["last_error"]["code"]) == ("chunking", 1, "provider_unavailable")

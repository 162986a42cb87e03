"""Tests of what a killed process leaves behind at the provider, and of what an hour of failures costs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from rag.openai.hosted_tenant import HostedTenant
from rag.openai.sample_project import SHEEP, TREES, SampleProject
from support.tenant_records import counter

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

# it is killed after the provider has answered and before the answer is recorded
VICTIM = """
import asyncio, os, signal, sys
from importlib import import_module
from uuid import UUID
from sqlalchemy import make_url
from fastapi_ignite.core.model_sections import OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.openai.engine import OpenAIEngine

async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

work, tenant, project, place, step = sys.argv[1:]
setattr(getattr(import_module(f"fastapi_ignite.rag.openai.{place}"), step.split(".")[0]), step.split(".")[1], die)
engine = OpenAIEngine(Database(make_url(os.environ["VICTIM_DATABASE"])), OpenAISettings())
asyncio.run(getattr(engine, work)(UUID(tenant), UUID(project)))
"""
FACT = "The orchard keeps nine apple trees."
ASKS = 30


async def kill_during(
    provider: RunningSimulator, addresses: ServiceAddresses, work: str, hosted: HostedTenant, project: str, *step: str
) -> None:
    """Start the work in another process, which is killed at this step."""
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT_ROOT / "src"),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.base_url,
        "VICTIM_DATABASE": addresses.worker_url.render_as_string(hide_password=False),
    }
    arguments = [sys.executable, "-c", VICTIM, work, str(hosted.api.id), project, *step]
    ended = await asyncio.to_thread(subprocess.run, arguments, env=environment, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "step",
    [
        ("indexing", "StoreMaker._advance"),  # the vector store was created
        ("repository", "ProviderRepository.advance_file"),  # a file was uploaded
        ("repository", "ProviderRepository.set_attached"),  # the files were attached
    ],
    ids=lambda step: step[1],
)
async def test_a_rebuild_killed_between_done_and_recorded_does_nothing_twice(
    sample: SampleProject, provider: RunningSimulator, addresses: ServiceAddresses, step: tuple[str, str]
) -> None:
    gone = (await sample.hosted.rows("SELECT provider_id FROM provider_files ORDER BY id"))[0]["provider_id"]
    provider.simulator.state.remove_file(gone)
    await sample.lose("vanish")
    await sample.find_out_the_loss()
    await kill_during(provider, addresses, "rebuild", sample.hosted, sample.project, *step)
    await sample.find_out_the_loss()
    await sample.hosted.rebuild(sample.project)
    await sample.find_out_the_loss()  # the lease of the killed process still holds
    await sample.hosted.rebuild(sample.project, later=True)
    await sample.check_answers_from(TREES, SHEEP)
    assert sample.created_counts() == (2, 3)
    assert provider.simulator.journal.calls["vector_stores.file_batches.create"] == 1


async def test_a_process_killed_between_made_and_recorded_leaves_one_store(
    hosted: HostedTenant, provider: RunningSimulator, engine: OpenAIEngine, addresses: ServiceAddresses
) -> None:
    project = await hosted.api.create_project()
    await kill_during(provider, addresses, "create_index", hosted, project, "indexing", "StoreMaker._advance")
    (made,) = provider.simulator.state.vector_stores
    assert (await hosted.rows("SELECT provider_id FROM provider_stores"))[0]["provider_id"] is None
    await hosted.rows("UPDATE provider_stores SET lease_until = now()")  # two minutes later it would have expired
    answer = await hosted.api.post(f"/ingestion/projects/{project}/ensure_vector_store")
    assert answer.json()["vector_store_id"] == made.id
    assert provider.simulator.state.created()["vector_stores"] == 1
    await engine.reconcile()
    assert provider.simulator.state.existing()["vector_stores"] == 1


@pytest.mark.parametrize("kind", ["status", "reset", "failed"])
async def test_answers_given_are_charged_and_no_others(
    hosted: HostedTenant, provider: RunningSimulator, kind: str
) -> None:
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("orchard.txt", FACT.encode()))
    for number in range(ASKS // 5):
        fault = {"route": "responses.create", "kind": kind, "status": 429, "skip": number * 4}
        provider.simulator.faults.add(Fault.model_validate(fault))
    statuses: Counter[int] = Counter()
    for start in range(0, ASKS, 6):
        asked = [hosted.api.ask(project, f"How many apple trees? {number}") for number in range(start, start + 6)]
        statuses.update(answer.status_code for answer in await asyncio.gather(*asked))
    assert 0 < statuses[200] < ASKS
    assert await counter(hosted.database, hosted.api.id, "messages") == (statuses[200], 0)
    rows = await hosted.rows("SELECT state, count(*) AS n FROM messages WHERE role = 'user' GROUP BY state")
    assert {row["state"]: row["n"] for row in rows} == {"completed": statuses[200], "failed": ASKS - statuses[200]}

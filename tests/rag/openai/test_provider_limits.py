"""The provider's rate limits, which are kept before it refuses, and its largest sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from uuid import UUID

import pytest
from redis.asyncio import Redis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.ratelimit import RateDecision, RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.errors import ProviderRateLimitedError, TextTooLargeError
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from fastapi_ignite.rag.openai.indexing import MAX_STORE_FILES
from fastapi_ignite.rag.openai.provider_limits import ATTACHMENTS_A_MINUTE, ProviderLimits
from rag.openai.hosted_tenant import HostedTenant
from rag.openai.sample_project import SHEEP, TREES, SampleProject
from support.tenant_records import counter

from openai_simulator.server import RunningSimulator

ROWS = """
INSERT INTO provider_files (tenant_id, id, project_id, sha256, state, attached)
SELECT :tenant, gen_random_uuid(), :project, int8send(n), 'ready', true FROM generate_series(1, :number) AS n
"""


@pytest.fixture
async def two_limits(addresses: ServiceAddresses) -> AsyncGenerator[tuple[ProviderLimits, ProviderLimits]]:
    """Return the limits as two processes see them."""
    async with Redis.from_url(addresses.redis_url) as one, Redis.from_url(addresses.redis_url) as other:
        yield ProviderLimits(RateLimiter(one, patience=30)), ProviderLimits(RateLimiter(other, patience=30))


async def test_processes_together_attach_no_more_to_a_store_than_it_takes(
    two_limits: tuple[ProviderLimits, ProviderLimits],
) -> None:
    tenant, store = new_id(), f"vs_{new_id().hex}"
    for turn in range(ATTACHMENTS_A_MINUTE):
        await two_limits[turn % 2].attach(tenant, store)
    for limits in two_limits:
        with pytest.raises(ProviderRateLimitedError) as refused:
            await limits.attach(tenant, store)
        assert 0 < refused.value.wait.total_seconds() <= 90
    await two_limits[0].attach(tenant, f"vs_{new_id().hex}")


async def test_a_process_without_redis_keeps_the_rate_by_itself() -> None:
    async with Redis(host="127.0.0.1", port=1) as nobody:
        limits, tenant = ProviderLimits(RateLimiter(nobody)), new_id()
        for _ in range(ATTACHMENTS_A_MINUTE):
            await limits.attach(tenant, "vs_one")
        with pytest.raises(ProviderRateLimitedError):
            await limits.attach(tenant, "vs_one")


async def test_a_file_beyond_the_rate_is_given_back_and_asks_the_provider_nothing(
    sample: SampleProject, two_limits: tuple[ProviderLimits, ProviderLimits], provider: RunningSimulator
) -> None:
    store = await sample.store()

    async def attach_until_refused() -> None:  # the sample's own attachments may be older than a minute
        for _ in range(ATTACHMENTS_A_MINUTE + 1):
            await two_limits[0].attach(sample.hosted.api.id, store)

    with pytest.raises(ProviderRateLimitedError):
        await attach_until_refused()
    (file,) = await sample.hosted.ingest(sample.project, ("garden.txt", b"The garden has seven hives of bees."))
    row = await sample.hosted.file(file)
    assert (row["state"], row["waits"], row["last_error"]["code"]) == ("chunking", 1, "provider_rate_limited")
    assert provider.simulator.journal.calls["vector_stores.files.create"] == len(sample.files)
    (due,) = await sample.hosted.rows("SELECT lease_until > now() AS later FROM files WHERE id = :id", id=file)
    assert due["later"]


class RefuseOnce:
    """A limiter that refuses the first request of every key."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def hit(self, key: str, limit: int, *, cost: int = 1) -> RateDecision:
        del cost
        self.asked[key] += 1
        return RateDecision(self.asked[key] > 1, limit, 0, reset_seconds=0.01)


async def test_a_rebuild_waits_for_its_turn(sample: SampleProject, hosted_settings: Settings) -> None:
    await sample.lose("vanish")
    gone = (await sample.hosted.rows("SELECT provider_id FROM provider_files ORDER BY id"))[0]["provider_id"]
    sample.provider.simulator.state.remove_file(gone)
    await sample.find_out_the_loss()
    limiter = RefuseOnce()
    busy = OpenAIEngine(sample.hosted.database, hosted_settings.openai, limiter)
    await replace(sample.hosted, engine=busy).rebuild(sample.project)
    await sample.check_answers_from(TREES, SHEEP)
    assert sorted(limiter.asked.values()) == [2, 2, 2], "an upload, a call that attaches, files that are attached"
    await busy.close()


async def test_a_project_with_as_many_files_as_a_store_takes_gets_no_more(
    hosted: HostedTenant, provider: RunningSimulator
) -> None:
    project = await hosted.api.create_project()
    await hosted.rows(ROWS, tenant=hosted.api.id, project=project, number=MAX_STORE_FILES - 1)
    try:
        files = await hosted.ingest(project, ("fits.txt", b"The last one."), ("more.txt", b"One too many."))
    finally:  # otherwise a reconciliation of another test would check each of them
        await hosted.rows("DELETE FROM provider_files WHERE project_id = :id", id=project)
    last, refused = [await hosted.file(file) for file in files]
    assert last["state"] == "completed"
    assert (refused["state"], refused["last_error"]["code"]) == ("failed", "store_full")
    assert await counter(hosted.database, hosted.api.id, "characters") == (len("The last one."), 0)
    assert provider.simulator.state.created()["files"] == 1


async def test_more_text_than_the_provider_takes_of_one_file_is_not_sent(
    hosted: HostedTenant, provider: RunningSimulator, engine: OpenAIEngine
) -> None:
    project = UUID(await hosted.api.create_project())
    large = ExtractedText("a" * 20_000_001, None, "text/plain")
    with pytest.raises(TextTooLargeError):
        await engine.prepare(DocumentSource(hosted.api.id, project, new_id(), b"large", large))
    assert provider.simulator.state.created()["files"] == 0

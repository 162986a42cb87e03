"""Each way in which the service can fail, as a user of the official SDK sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from openai_sim.conftest import Upload

from openai_simulator.server import RunningSimulator

MODEL = "gpt-4.1-mini"


async def fail(control: httpx2.AsyncClient, route: str, kind: str, **options: Any) -> None:
    (await control.post("/faults", json={"route": route, "kind": kind, **options})).raise_for_status()


async def counters(control: httpx2.AsyncClient) -> dict[str, Any]:
    counted: dict[str, Any] = (await control.get("/counters")).json()
    return counted


class TestStatuses:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (408, openai.APIStatusError),
            (409, openai.ConflictError),
            (413, openai.APIStatusError),
            (415, openai.APIStatusError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (503, openai.InternalServerError),
        ],
    )
    async def test_the_next_calls_fail_and_have_no_effect(
        self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, status: int, error: type[openai.APIStatusError]
    ) -> None:
        await fail(control, "vector_stores.create", "status", status=status, times=2)
        for _ in range(2):
            with pytest.raises(error) as failed:
                await sdk.vector_stores.create()
            assert failed.value.status_code == status
        await sdk.vector_stores.create()
        counted = await counters(control)
        assert counted["calls"] == {"vector_stores.create": 3}
        assert counted["created"]["vector_stores"] == 1
        assert counted["faults"] == {"status": 2}

    async def test_a_failure_after_the_effect_leaves_a_duplicate_behind(
        self, sdk: AsyncOpenAI, control: httpx2.AsyncClient
    ) -> None:
        await fail(control, "vector_stores.create", "status", status=500, when="after")
        await sdk.with_options(max_retries=1).vector_stores.create()
        assert (await counters(control))["created"]["vector_stores"] == 2

    async def test_retry_after_is_sent(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "models.*", "status", status=429, retry_after=7, should_retry=False)
        with pytest.raises(openai.RateLimitError) as limited:
            await sdk.models.list()
        headers = limited.value.response.headers
        assert (headers["retry-after"], headers["x-should-retry"]) == ("7", "false")

    async def test_a_spent_quota_names_no_time(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "*", "status", status=429, code="insufficient_quota")
        with pytest.raises(openai.RateLimitError) as limited:
            await sdk.models.list()
        assert (limited.value.code, limited.value.type) == ("insufficient_quota", "insufficient_quota")
        assert "retry-after" not in limited.value.response.headers

    async def test_calls_may_pass_first(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "models.list", "status", skip=1)
        await sdk.models.list()
        with pytest.raises(openai.InternalServerError):
            await sdk.models.list()

    async def test_a_key_is_needed(self, provider: RunningSimulator, control: httpx2.AsyncClient) -> None:
        async with httpx2.AsyncClient() as anonymous:
            refused = await anonymous.get(f"{provider.base_url}/models")
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "invalid_request_error")
        await control.patch("/settings", json={"api_key": "sk-right"})
        async with AsyncOpenAI(base_url=provider.base_url, api_key="sk-wrong", max_retries=0) as wrong:
            with pytest.raises(openai.AuthenticationError) as denied:
                await wrong.models.list()
        assert denied.value.code == "invalid_api_key"


class TestConnections:
    @pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
    async def test_a_reset(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, when: str, created: int) -> None:
        await fail(control, "vector_stores.create", "reset", when=when)
        with pytest.raises(openai.APIConnectionError):
            await sdk.vector_stores.create()
        assert (await counters(control))["created"]["vector_stores"] == created

    @pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
    async def test_a_timeout(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, when: str, created: int) -> None:
        await fail(control, "files.create", "timeout", when=when)
        with pytest.raises(openai.APITimeoutError):
            await sdk.with_options(timeout=0.2).files.create(file=("a.txt", b"text"), purpose="assistants")
        assert (await counters(control))["created"]["files"] == created
        while (await counters(control))["in_flight"]:  # noqa: ASYNC110  # the simulator can only be polled
            await asyncio.sleep(0.01)

    async def test_latency(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await control.patch("/settings", json={"latency_seconds": {"vector_stores.*": 600}})
        await sdk.models.list()
        with pytest.raises(openai.APITimeoutError):
            await sdk.with_options(timeout=0.2).vector_stores.list()


class TestOutcomes:
    @pytest.mark.parametrize(
        ("kind", "status", "reason"),
        [("incomplete", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter")],
    )
    async def test_an_answer_that_ends_early(
        self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, kind: str, status: str, reason: str
    ) -> None:
        await fail(control, "responses.create", kind)
        response = await sdk.responses.create(model=MODEL, input="Tell me everything there is to tell, please")
        assert response.status == status
        assert response.incomplete_details
        assert response.incomplete_details.reason == reason

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_failed_response_is_http_200(
        self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, *, stream: bool
    ) -> None:
        await fail(control, "responses.create", "failed", code="vector_store_timeout")
        if stream:
            events = [event async for event in await sdk.responses.create(model=MODEL, input="Hi", stream=True)]
            assert events[-1].type == "response.failed"
            response = events[-1].response
        else:
            response = await sdk.responses.create(model=MODEL, input="Hi")
        assert response.status == "failed"
        assert response.error
        assert response.error.code == "vector_store_timeout"

    async def test_a_refusal_is_a_part_of_its_own(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "responses.create", "refusal", times=2)
        response = await sdk.responses.create(model=MODEL, input="Hi")
        assert [part["type"] for part in response.output[0].to_dict()["content"]] == ["refusal"]  # type: ignore[attr-defined]  # of the union only messages have parts
        kinds = {event.type async for event in await sdk.responses.create(model=MODEL, input="Hi", stream=True)}
        assert {"response.refusal.delta", "response.refusal.done", "response.completed"} <= kinds


class TestStreams:
    async def _read(self, sdk: AsyncOpenAI) -> list[str]:
        kinds: list[str] = []
        async for event in await sdk.responses.create(model=MODEL, input="Hi", stream=True):
            kinds.append(event.type)  # noqa: PERF401  # the events before the failure are checked
        return kinds

    async def test_an_error_event_is_yielded(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "responses.create", "stream_error_event", after_events=4)
        kinds = await self._read(sdk)
        assert (len(kinds), kinds[-1]) == (5, "error")

    async def test_an_error_object_is_raised(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "responses.create", "stream_error_object", message="Overloaded.")
        with pytest.raises(openai.APIError, match="Overloaded"):
            await self._read(sdk)

    @pytest.mark.parametrize("route", ["responses.create", "chat.completions.create"])
    async def test_a_broken_connection(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, route: str) -> None:
        await fail(control, route, "stream_break", after_events=2)
        received = 0
        with pytest.raises((openai.APIConnectionError, httpx2.TransportError)):  # noqa: PT012  # events come before it
            if route == "responses.create":
                async for _ in await sdk.responses.create(model=MODEL, input="Hi", stream=True):
                    received += 1
            else:
                messages: Any = [{"role": "user", "content": "Hi"}]
                async for _ in await sdk.chat.completions.create(model=MODEL, messages=messages, stream=True):
                    received += 1
        assert received == 2
        while (await counters(control))["streams"]["open"]:  # noqa: ASYNC110  # the simulator can only be polled
            await asyncio.sleep(0.01)
        assert (await counters(control))["streams"]["abandoned"] == 1

    async def test_a_stalled_stream(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await fail(control, "responses.create", "stream_stall", after_events=2)
        with pytest.raises((openai.APITimeoutError, httpx2.TimeoutException)):
            await self._read(sdk.with_options(timeout=0.2))


class TestIndexing:
    async def test_stuck_files_go_on_when_released(
        self, sdk: AsyncOpenAI, upload: Upload, control: httpx2.AsyncClient
    ) -> None:
        await fail(control, "vector_stores.file_batches.create", "stuck")
        store, file_id = await sdk.vector_stores.create(), await upload()
        batch = await sdk.vector_stores.file_batches.create(store.id, file_ids=[file_id])
        other = await upload("Other.")
        await sdk.vector_stores.files.create_and_poll(other, vector_store_id=store.id, poll_interval_ms=10)
        assert (await sdk.vector_stores.files.retrieve(file_id, vector_store_id=store.id)).status == "in_progress"
        assert (await control.post("/release")).json() == {"released": 1}
        done = await sdk.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id, poll_interval_ms=10)
        assert done.status == "completed"

    async def test_files_fail_on_command(self, sdk: AsyncOpenAI, upload: Upload, control: httpx2.AsyncClient) -> None:
        await fail(control, "vector_stores.files.create", "file_failed")
        store = await sdk.vector_stores.create()
        file = await sdk.vector_stores.files.create(store.id, file_id=await upload())
        assert file.last_error
        assert (file.status, file.last_error.code) == ("failed", "server_error")

    async def test_a_poll_may_answer_the_id_of_the_store(
        self, sdk: AsyncOpenAI, upload: Upload, control: httpx2.AsyncClient
    ) -> None:
        await fail(control, "vector_stores.file_batches.retrieve", "store_id")
        store = await sdk.vector_stores.create()
        batch = await sdk.vector_stores.file_batches.create(store.id, file_ids=[await upload()])
        polled = [await sdk.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id) for _ in range(2)]
        assert [each.id for each in polled] == [store.id, batch.id]


class TestRate:
    async def test_a_seed_decides_which_calls_fail(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        runs = []
        for _ in range(2):
            rate = {"rate": 0.3, "seed": 7, "faults": [{"route": "models.*", "kind": "status", "status": 503}]}
            (await control.put("/failure-rate", json=rate)).raise_for_status()
            runs.append([await self._passes(sdk) for _ in range(20)])
        assert runs[0] == runs[1]
        assert 1 < runs[0].count(False) < 15

    async def _passes(self, sdk: AsyncOpenAI) -> bool:
        try:
            await sdk.models.list()
        except openai.InternalServerError:
            return False
        return True


class TestControl:
    async def test_it_says_what_it_is(self, control: httpx2.AsyncClient) -> None:
        assert "Not for production" in (await control.get("/")).json()["notice"]

    async def test_calls_are_on_record(
        self, sdk: AsyncOpenAI, provider: RunningSimulator, control: httpx2.AsyncClient
    ) -> None:
        async with AsyncOpenAI(base_url=provider.base_url, api_key="sk-secret", organization="org-1") as ours:
            await ours.responses.create(model=MODEL, input="Hi", store=False)
        await sdk.models.list()
        records = await control.get("/requests", params={"route": "responses.create"})
        (record,) = records.json()
        assert (record["status"], record["body"]["store"]) == (200, False)
        assert record["headers"]["openai-organization"] == "org-1"
        assert "sk-secret" not in records.text

    @pytest.mark.parametrize(
        "fault",
        [
            {"route": "*", "kind": "unheard_of"},
            {"route": "*", "kind": "status", "status": 418},
            {"route": "*", "kind": "reset", "times": 0},
            {"kind": "reset"},
        ],
    )
    async def test_a_fault_that_makes_no_sense_is_refused(
        self, control: httpx2.AsyncClient, fault: dict[str, Any]
    ) -> None:
        assert (await control.post("/faults", json=fault)).status_code == 400

    async def test_a_reset_makes_it_new(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient, store_id: str) -> None:
        await control.patch("/settings", json={"reasoning_tokens": 5})
        assert (await control.post("/reset")).status_code == 204
        with pytest.raises(openai.NotFoundError):
            await sdk.vector_stores.retrieve(store_id)
        counted = await counters(control)
        assert counted["created"]["files"] == 0
        assert (await control.get("/settings")).json()["reasoning_tokens"] == 0

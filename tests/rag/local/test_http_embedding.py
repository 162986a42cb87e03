"""The embedder that calls a server, with OpenAI's simulator and with a server that can answer anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import REGISTRY

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.rag.local import http_embedding
from fastapi_ignite.rag.local.embedding import EmbeddingError, EmbeddingModel
from fastapi_ignite.rag.local.http_embedding import CUTS, REFUSED_REQUESTS, HttpEmbedder, verify_server
from support.embedding_server import EmbeddingServer, running_embedding_server, vector_of
from support.tenant_records import eventually

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

TEXTS = [f"The pump number {number} is of brass." for number in range(10)]


@pytest.fixture
def hosted(provider: RunningSimulator) -> EmbeddingSettings:
    return EmbeddingSettings(
        base_url=provider.base_url, model="text-embedding-3-small", api_key="sk-test", query_timeout_seconds=30
    )


@pytest.fixture
async def server() -> AsyncGenerator[EmbeddingServer]:
    async with running_embedding_server() as running:
        yield running


@asynccontextmanager
async def connected(settings: EmbeddingSettings) -> AsyncGenerator[HttpEmbedder]:
    embedder = HttpEmbedder(settings)
    try:
        yield embedder
    finally:
        await embedder.close()


def calls(provider: RunningSimulator) -> int:
    return provider.simulator.journal.calls["embeddings.create"]


def fail(provider: RunningSimulator, **fault: object) -> None:
    provider.simulator.faults.add(Fault.model_validate({"route": "embeddings.create", **fault}))


def failures(error: str) -> float:
    return REGISTRY.get_sample_value("ignite_embedding_failures_total", {"operation": "query", "error": error}) or 0


class TestVectors:
    async def test_each_text_has_its_own_vector_of_unit_length(self, hosted: EmbeddingSettings) -> None:
        async with connected(hosted) as embedder:
            assert embedder.model == EmbeddingModel("http:text-embedding-3-small", None)
            passages = np.array(await embedder.embed_passages(TEXTS))
            assert embedder.model == EmbeddingModel("http:text-embedding-3-small", 1536)
            assert np.linalg.norm(passages, axis=1) == pytest.approx(1, abs=1e-5)
            questions = np.array([await embedder.embed_query(text) for text in TEXTS[::-1]])
            assert (questions @ passages.T).argmax(axis=1).tolist() == list(range(len(TEXTS)))[::-1]

    async def test_shorter_vectors_are_asked_for(self, hosted: EmbeddingSettings) -> None:
        async with connected(hosted.model_copy(update={"dimensions": 256})) as embedder:
            assert embedder.model.dimensions == 256
            assert (await embedder.embed_query("pump")).shape == (256,)

    async def test_the_servers_order_does_not_matter(self, server: EmbeddingServer) -> None:
        async with connected(server.settings()) as embedder:
            vectors = await embedder.embed_passages(TEXTS)
        expected = [np.array(vector_of(text)) / np.linalg.norm(vector_of(text)) for text in TEXTS]
        assert np.array(vectors) == pytest.approx(np.array(expected), abs=1e-6)
        assert server.keys == ["bearer k"]

    async def test_a_server_without_a_key_is_sent_none(self, server: EmbeddingServer) -> None:
        async with connected(server.settings(api_key=None, base_url=f"{server.url}/v1/")) as embedder:
            await embedder.embed_query("pump")
        assert (server.keys, server.requests[0]["path"]) == ([""], "/v1/embeddings")
        assert server.requests[0].keys() == {"path", "model", "input", "encoding_format"}


class TestRequests:
    async def test_a_request_has_no_more_passages_than_the_setting_says(self, server: EmbeddingServer) -> None:
        async with connected(server.settings(batch_size=4)) as embedder:
            await embedder.embed_passages(TEXTS)
        assert [len(request["input"]) for request in server.requests] == [4, 4, 2]
        assert server.texts == TEXTS

    async def test_nor_more_characters_than_servers_take(
        self, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_embedding, "REQUEST_CHARACTERS", 100)
        async with connected(server.settings()) as embedder:
            await embedder.embed_passages(["a" * 60, "b" * 40, "c" * 10, "d" * 200, "e"])
        assert [[text[0] for text in request["input"]] for request in server.requests] == [
            ["a", "b"],
            ["c"],
            ["d"],
            ["e"],
        ]

    async def test_a_long_text_is_cut_at_the_end_of_a_word(self, server: EmbeddingServer) -> None:
        async with connected(server.settings(max_input_tokens=16)) as embedder:
            await embedder.embed_query("pump " * 100)
            await embedder.embed_passages(["ポンプは真鍮です。" * 20, "short"])
        assert server.texts[0] == ("pump " * 16).strip()
        assert ("ポンプは真鍮です。" * 20).startswith(server.texts[1])
        assert len(server.texts[1]) == 16
        assert server.texts[2] == "short"

    async def test_no_more_requests_are_under_way_than_the_setting_says(self, server: EmbeddingServer) -> None:
        under_way = 0

        async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal under_way
            under_way += 1
            most.append(under_way)
            await asyncio.sleep(0.01)
            await server.answer(reader, writer)
            under_way -= 1

        most: list[int] = []
        async with await asyncio.start_server(slowly, "127.0.0.1", 0) as slow:
            port = slow.sockets[0].getsockname()[1]
            settings = server.settings(base_url=f"http://127.0.0.1:{port}", max_concurrency=2)
            async with connected(settings) as embedder:
                await asyncio.gather(*(embedder.embed_query(text) for text in TEXTS))
        assert max(most) == 2


class TestRefusedTexts:
    async def test_a_server_that_takes_smaller_batches_gets_them(self, server: EmbeddingServer) -> None:
        server.refuses = lambda texts: len(texts) > 4
        async with connected(server.settings()) as embedder:
            assert all(vector is not None for vector in await embedder.embed_passages(TEXTS))
            assert embedder.available

    async def test_one_text_costs_the_others_nothing(self, server: EmbeddingServer) -> None:
        server.refuses = lambda texts: any("pump number 7" in text or not text.endswith(".") for text in texts)
        async with connected(server.settings()) as embedder:
            vectors = await embedder.embed_passages(TEXTS)
            assert [number for number, vector in enumerate(vectors) if vector is None] == [7]
            assert embedder.available
        assert len(server.requests) <= 2 * 4 + 1 + CUTS

    async def test_one_vector_that_is_no_number_costs_the_others_nothing(self, server: EmbeddingServer) -> None:
        server.embed = lambda text: [float("nan")] * 8 if "number 7" in text else vector_of(text)
        async with connected(server.settings()) as embedder:
            vectors = await embedder.embed_passages(TEXTS)
        assert all(vector is not None for vector in vectors)
        assert TEXTS[7][: len(TEXTS[7]) // 2] in server.texts

    async def test_a_text_the_model_finds_too_long_is_cut_shorter(
        self, hosted: EmbeddingSettings, provider: RunningSimulator
    ) -> None:
        async with connected(hosted.model_copy(update={"max_input_tokens": 32768})) as embedder:
            long = "word " * 20_000  # the model reads only 8192 tokens of it
            vectors = await embedder.embed_passages(["first", long, "last"])
        assert all(vector is not None for vector in vectors)
        assert calls(provider) == 5 + 2

    async def test_a_server_that_refuses_everything_is_not_asked_for_ever(self, server: EmbeddingServer) -> None:
        server.refuses = lambda _: True
        async with connected(server.settings()) as embedder:
            with pytest.raises(EmbeddingError, match="refuses too much"):
                await embedder.embed_passages(TEXTS * 6)
        assert len(server.requests) == REFUSED_REQUESTS

    async def test_a_refused_question_keeps_nobody_elses_from_being_asked(self, server: EmbeddingServer) -> None:
        server.refuses = lambda texts: texts == ["poison"]
        async with connected(server.settings()) as embedder:
            with pytest.raises(EmbeddingError):
                await embedder.embed_query("poison")
            assert (await embedder.embed_query("pump")).shape == (8,)


class TestOutages:
    @pytest.mark.parametrize(
        "fault",
        [
            *({"kind": "status", "status": status} for status in (401, 404, 429, 500, 503)),
            {"kind": "reset"},
        ],
        ids=str,
    )
    async def test_one_failure_costs_one_call_and_the_next_questions_nothing(
        self, hosted: EmbeddingSettings, provider: RunningSimulator, fault: dict[str, object]
    ) -> None:
        fail(provider, **fault)
        async with connected(hosted) as embedder:
            for _ in range(3):
                with pytest.raises(EmbeddingError):
                    await embedder.embed_query("pump")
            assert not embedder.available
        assert calls(provider) == 1

    async def test_a_server_that_hangs_is_given_up(self, hosted: EmbeddingSettings, provider: RunningSimulator) -> None:
        before = failures("TimeoutError")
        fail(provider, kind="timeout")
        async with connected(hosted.model_copy(update={"query_timeout_seconds": 0.05})) as embedder:
            with pytest.raises(EmbeddingError):
                await embedder.embed_query("pump")
            assert not embedder.available
        assert failures("TimeoutError") == before + 1

    async def test_a_server_that_is_not_there(self) -> None:
        async with connected(EmbeddingSettings(base_url="http://127.0.0.1:9", model="m")) as embedder:
            with pytest.raises(EmbeddingError, match="ConnectError"):
                await embedder.embed_query("pump")

    async def test_it_is_asked_again_after_a_while(
        self, hosted: EmbeddingSettings, provider: RunningSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_embedding, "RETRY_AFTER_SECONDS", 0.05)
        fail(provider, kind="status", status=503)
        async with connected(hosted) as embedder:
            with pytest.raises(EmbeddingError):
                await embedder.embed_query("pump")
            await eventually(lambda: available(embedder))
            assert (await embedder.embed_query("pump")).shape == (1536,)

    async def test_it_is_left_alone_for_as_long_as_it_wishes(
        self, hosted: EmbeddingSettings, provider: RunningSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_embedding, "RETRY_AFTER_SECONDS", 0.01)
        fail(provider, kind="status", status=429, retry_after=300)
        async with connected(hosted) as embedder:
            with pytest.raises(EmbeddingError) as refused:
                await embedder.embed_passages(TEXTS)
            assert 290 < refused.value.retry_after <= 300
            await asyncio.sleep(0.02)
            with pytest.raises(EmbeddingError) as refused:
                await embedder.embed_query("pump")
            assert 290 < refused.value.retry_after <= 300
        assert calls(provider) == 1

    async def test_who_waits_for_a_turn_does_not_wait_for_a_server_that_is_away(self, server: EmbeddingServer) -> None:
        server.status = 503
        async with connected(server.settings(max_concurrency=1)) as embedder:
            with pytest.raises(EmbeddingError, match="503"):
                await embedder.embed_query("pump")
            async with embedder._turns:
                with pytest.raises(EmbeddingError, match="a moment ago"):
                    await embedder.embed_query("pump")

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"[" * 50_000, "holds no vectors"),
            (b"[" + b"1," * 50_000, "longer than"),
            (b'{"data": [{"index": 0, "embedding": [1, 0]}]}', "2 dimensions, not 3"),
        ],
        ids=["deep", "long", "short vectors"],
    )
    async def test_an_answer_of_any_kind_is_survived(self, server: EmbeddingServer, body: bytes, reason: str) -> None:
        server.body = body
        async with connected(server.settings(dimensions=3)) as embedder:
            with pytest.raises(EmbeddingError, match=reason):
                await embedder.embed_query("pump")

    async def test_no_key_follows_a_redirect(self, server: EmbeddingServer) -> None:
        server.status, server.headers = 307, {"Location": f"{server.url}/elsewhere"}
        async with connected(server.settings()) as embedder:
            with pytest.raises(EmbeddingError, match="307"):
                await embedder.embed_query("pump")
        assert len(server.requests) == 1


class TestVerification:
    async def test_a_server_that_answers_is_known_afterwards(self, server: EmbeddingServer) -> None:
        async with connected(server.settings()) as embedder:
            await embedder.verify()
            assert embedder.model.dimensions == 8

    async def test_vectors_of_another_length_than_the_settings_say_stop_the_start(
        self, server: EmbeddingServer
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"EMBEDDING_DIMENSIONS: .* 8 dimensions, not 512"):
            await verify_server(server.settings(dimensions=512))

    async def test_and_so_do_vectors_that_cannot_be_stored(self, server: EmbeddingServer) -> None:
        server.embed = lambda text: vector_of(text, 4096)
        with pytest.raises(ConfigurationError, match="4096 dimensions, and 1 to 4000 can be stored"):
            await verify_server(server.settings())

    async def test_a_server_that_is_away_does_not(self, server: EmbeddingServer) -> None:
        server.status = 503
        await verify_server(server.settings())
        await verify_server(EmbeddingSettings())
        assert len(server.requests) == 1

    async def test_lengths_do_not_change_while_the_process_runs(self, server: EmbeddingServer) -> None:
        async with connected(server.settings()) as embedder:
            await embedder.embed_query("pump")
            server.embed = lambda text: vector_of(text, 9)
            with pytest.raises(EmbeddingError, match="9 dimensions, not 8"):
                await embedder.embed_query("pump")


async def available(embedder: HttpEmbedder) -> bool:
    return embedder.available

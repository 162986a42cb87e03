"""Responses, chat completions and embeddings, through the official SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import Response, ResponseFileSearchToolCall, ResponseOutputMessage, ResponseOutputText

from openai_sim.conftest import SIGHT, Upload

QUESTION = "Who built the lighthouse of Aldara?"
MODEL = "gpt-4.1-mini"


def searching(*stores: str, **options: Any) -> Any:
    return [{"type": "file_search", "vector_store_ids": list(stores), **options}]


def said(response: Response) -> ResponseOutputText:
    message = response.output[-1]
    assert isinstance(message, ResponseOutputMessage)
    assert isinstance(message.content[0], ResponseOutputText)
    return message.content[0]


def searched(response: Response) -> ResponseFileSearchToolCall:
    assert isinstance(response.output[0], ResponseFileSearchToolCall)
    return response.output[0]


class TestResponses:
    async def test_an_answer_is_a_cited_sentence_of_the_file(self, sdk: AsyncOpenAI, store_id: str) -> None:
        response = await sdk.responses.create(model=MODEL, input=QUESTION, tools=searching(store_id))
        (file,) = (await sdk.vector_stores.files.list(store_id)).data
        assert (response.status, response.output_text) == ("completed", SIGHT)
        (citation,) = said(response).annotations
        assert citation.to_dict() == {
            "type": "file_citation",
            "file_id": file.id,
            "filename": "aldara.txt",
            "index": len(SIGHT),
        }
        assert searched(response).results is None
        assert response.usage
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 20

    async def test_results_stand_where_they_are_asked_for(self, sdk: AsyncOpenAI, store_id: str) -> None:
        response = await sdk.responses.create(
            model=MODEL, input=QUESTION, tools=searching(store_id), include=["file_search_call.results"]
        )
        results = searched(response).results or []
        assert [SIGHT in (result.text or "") for result in results] == [True]
        assert searched(response).queries == [QUESTION]

    async def test_nothing_found_is_said_without_citations(self, sdk: AsyncOpenAI, store_id: str) -> None:
        response = await sdk.responses.create(
            model=MODEL, input="Which rocket engine burns methane?", tools=searching(store_id)
        )
        assert (response.status, said(response).annotations) == ("completed", [])
        assert "could not find" in response.output_text

    async def test_filters_hold_for_answers(self, sdk: AsyncOpenAI, store_id: str) -> None:
        nothing = searching(store_id, filters={"type": "eq", "key": "project", "value": "other"})
        response = await sdk.responses.create(model=MODEL, input=QUESTION, tools=nothing)
        assert said(response).annotations == []

    async def test_without_a_tool_call_no_file_is_read(self, sdk: AsyncOpenAI, store_id: str) -> None:
        response = await sdk.responses.create(
            model=MODEL, input=QUESTION, tools=searching(store_id), tool_choice="none"
        )
        assert [item.type for item in response.output] == ["message"]
        assert SIGHT not in response.output_text

    async def test_the_same_question_has_the_same_answer(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        store = await sdk.vector_stores.create()
        texts = [f"The harbour master of pier {number} is called Ada." for number in range(6)]
        batch = [await upload(text, f"{number}.txt") for number, text in enumerate(texts)]
        await sdk.vector_stores.file_batches.create_and_poll(store.id, file_ids=batch, poll_interval_ms=10)
        answers = {
            (
                await sdk.responses.create(model=MODEL, input="Who is harbour master?", tools=searching(store.id))
            ).output_text
            for _ in range(5)
        }
        assert len(answers) == 1

    async def test_an_answer_is_cut_at_max_output_tokens(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        store = await sdk.vector_stores.create()
        long = "The lighthouse of Aldara, " + "which stands on the cliff, " * 10 + "was built in 1874."
        await sdk.vector_stores.files.create_and_poll(await upload(long), vector_store_id=store.id, poll_interval_ms=10)
        response = await sdk.responses.create(
            model=MODEL, input="lighthouse of Aldara", tools=searching(store.id), max_output_tokens=16
        )
        assert response.status == "incomplete"
        assert response.incomplete_details
        assert response.incomplete_details.reason == "max_output_tokens"
        assert long.startswith(response.output_text)
        assert said(response).annotations == []

    async def test_a_response_is_kept_unless_store_is_false(self, sdk: AsyncOpenAI) -> None:
        kept = await sdk.responses.create(model=MODEL, input="Hello")
        assert (await sdk.responses.retrieve(kept.id)).output_text == kept.output_text
        await sdk.responses.delete(kept.id)
        forgotten = await sdk.responses.create(model=MODEL, input="Hello", store=False)
        for response in (kept, forgotten):
            with pytest.raises(NotFoundError):
                await sdk.responses.retrieve(response.id)

    async def test_a_response_in_the_background_is_cancelled(
        self, sdk: AsyncOpenAI, control: httpx2.AsyncClient
    ) -> None:
        await control.patch("/settings", json={"background_seconds": 600})
        response = await sdk.responses.create(model=MODEL, input="Hello", background=True)
        assert response.status == "in_progress"
        assert (await sdk.responses.cancel(response.id)).status == "cancelled"

    async def test_a_long_prompt_that_came_before_is_cached(self, sdk: AsyncOpenAI) -> None:
        prompt = "tide " * 1500
        first, second = [await sdk.responses.create(model=MODEL, input=prompt) for _ in range(2)]
        assert first.usage
        assert second.usage
        assert first.usage.input_tokens_details.cached_tokens == 0
        assert second.usage.input_tokens_details.cached_tokens == 1500 // 128 * 128

    @pytest.mark.parametrize(
        ("body", "status", "param", "code"),
        [
            ({"model": "gpt-0"}, 404, "model", "model_not_found"),
            ({"max_output_tokens": 3}, 400, "max_output_tokens", "integer_below_min_value"),
            ({"previous_response_id": "resp_x"}, 404, "previous_response_id", "previous_response_not_found"),
            ({"tool_choice": {"type": "file_search"}}, 400, "tool_choice", "invalid_value"),
            ({"unheard_of": 1}, 400, "unheard_of", "unknown_parameter"),
            ({"input": None}, 400, "input", "invalid_type"),
            ({"metadata": {str(key): "v" for key in range(17)}}, 400, "metadata", "array_above_max_length"),
            ({"tools": searching("vs_1", max_num_results=51)}, 400, None, "integer_above_max_value"),
            ({"tools": searching("vs_unknown")}, 404, "vector_store_id", None),
        ],
    )
    async def test_what_is_refused(
        self, sdk: AsyncOpenAI, body: dict[str, Any], status: int, param: str | None, code: str | None
    ) -> None:
        with pytest.raises(APIStatusError) as refused:
            await sdk.post("/responses", body={"model": MODEL, "input": "Hello"} | body, cast_to=Response)
        error = refused.value
        assert (error.status_code, error.code, error.type) == (status, code, "invalid_request_error")
        assert param is None or (error.param or "").startswith(param)
        assert (error.request_id or "").startswith("req_")


class TestStreams:
    async def test_events_come_in_the_documented_order(self, sdk: AsyncOpenAI, store_id: str) -> None:
        stream = await sdk.responses.create(model=MODEL, input=QUESTION, tools=searching(store_id), stream=True)
        events = [event async for event in stream]
        kinds = [event.type for event in events if event.type != "response.output_text.delta"]
        assert kinds == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.annotation.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        last = events[-1]
        assert last.type == "response.completed"
        assert "".join(deltas) == last.response.output_text == SIGHT
        assert len(deltas) > 5
        assert last.response.usage

    @pytest.mark.parametrize("obfuscated", [True, False])
    async def test_padding_is_left_out_on_request(self, sdk: AsyncOpenAI, *, obfuscated: bool) -> None:
        stream = await sdk.responses.create(
            model=MODEL, input="Hello", stream=True, stream_options={"include_obfuscation": obfuscated}
        )
        deltas = [event.to_dict() async for event in stream if event.type == "response.output_text.delta"]
        assert {"obfuscation" in delta for delta in deltas} == {obfuscated}

    async def test_a_client_that_leaves_ends_the_stream(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        await control.patch("/settings", json={"delta_seconds": 600})
        stream = await sdk.responses.create(model=MODEL, input="Hello", stream=True)
        assert (await anext(stream.__aiter__())).type == "response.created"
        assert (await streams(control))["open"] == 1
        await stream.close()
        while (await streams(control))["open"]:  # noqa: ASYNC110  # the simulator can only be polled
            await asyncio.sleep(0.01)
        assert await streams(control) == {"open": 0, "opened": 1, "finished": 0, "abandoned": 1}


class TestChat:
    PROMPT = f"{SIGHT} Boats pass it.\n\n{QUESTION}"

    async def test_the_answer_comes_from_the_prompt(self, sdk: AsyncOpenAI) -> None:
        completion = await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": self.PROMPT}])
        (choice,) = completion.choices
        assert (choice.message.content, choice.finish_reason) == (SIGHT, "stop")
        assert completion.usage
        assert completion.usage.completion_tokens > 10

    async def test_a_stream_says_the_same(self, sdk: AsyncOpenAI) -> None:
        stream = await sdk.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": self.PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SIGHT
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage

    async def test_a_script_is_said_word_for_word(self, sdk: AsyncOpenAI, control: httpx2.AsyncClient) -> None:
        script = {"route": "chat.*", "kind": "scripted", "text": "Forty-two [1]."}
        await control.post("/faults", json=script)
        messages: Any = [{"role": "user", "content": "What is it?"}]
        first, second = [await sdk.chat.completions.create(model=MODEL, messages=messages) for _ in range(2)]
        assert first.choices[0].message.content == "Forty-two [1]."
        assert second.choices[0].message.content != first.choices[0].message.content


class TestEmbeddings:
    async def test_texts_that_share_words_are_near(self, sdk: AsyncOpenAI) -> None:
        texts = ["the lighthouse keeper", "keepers of a lighthouse", "methane rocket engines"]
        data = (await sdk.embeddings.create(model="text-embedding-3-small", input=texts, dimensions=256)).data
        first, second, third = (each.embedding for each in data)
        assert len(first) == 256
        assert dot(first, first) == pytest.approx(1, abs=1e-5)
        assert dot(first, second) > 0.9
        assert dot(first, third) < 0.5

    @pytest.mark.parametrize(
        "body",
        [{"input": []}, {"input": ["a"] * 2049}, {"dimensions": 1537}, {"input": "word " * 8193}, {"model": "x"}],
    )
    async def test_what_is_refused(self, sdk: AsyncOpenAI, body: dict[str, Any]) -> None:
        request = {"model": "text-embedding-3-small", "input": "a"} | body
        with pytest.raises((BadRequestError, NotFoundError)):
            await sdk.embeddings.create(**request)

    async def test_models_are_listed(self, sdk: AsyncOpenAI) -> None:
        assert MODEL in [model.id async for model in sdk.models.list()]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def streams(control: httpx2.AsyncClient) -> dict[str, int]:
    counted: dict[str, int] = (await control.get("/counters")).json()["streams"]
    return counted

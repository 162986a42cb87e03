"""The endpoint of chat completions, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from openai_simulator.errors import ApiError
from openai_simulator.matching import split_tokens
from openai_simulator.model_output import ModelOutput, produce_output
from openai_simulator.model_requests import CreateChatCompletion, question_of
from openai_simulator.objects import make_id, timestamp
from openai_simulator.retrieval import answer_from_prompt
from openai_simulator.routes.deps import FaultDep, SimulatorDep
from openai_simulator.streaming import DONE, EventStream

router = APIRouter()
FINISH = {None: "stop", "max_output_tokens": "length", "content_filter": "content_filter"}


@router.post("/chat/completions", name="chat.completions.create")
async def create_completion(
    request: Request, simulator: SimulatorDep, fault: FaultDep, asked: CreateChatCompletion
) -> Response:
    simulator.model(asked.model)
    answered = answer_from_prompt(question_of(asked.messages))
    output = produce_output(simulator, answered, asked.prompt(), fault, asked.limit())
    if output.error:
        raise ApiError(500, output.error["message"], kind="server_error", code=output.error["code"])
    common = {"id": make_id("chatcmpl-"), "created": timestamp(), "model": asked.model, "service_tier": "default"}
    if asked.stream:
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        chunks = _chunks(common, output, with_usage=with_usage)
        return EventStream(simulator, request.scope, chunks, fault, ends_with=DONE)
    message: dict[str, Any] = {"role": "assistant", "annotations": []}
    message |= _said(output, output.text)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[output.reason]}
    body = common | {"object": "chat.completion", "choices": [choice], "usage": _usage(output)}
    return JSONResponse(body)


def _said(output: ModelOutput, text: str) -> dict[str, Any]:
    return {"content": None, "refusal": text} if output.is_refusal else {"content": text, "refusal": None}


def _chunks(common: dict[str, Any], output: ModelOutput, *, with_usage: bool) -> Iterator[dict[str, Any]]:
    common = common | {"object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})
    key = "refusal" if output.is_refusal else "content"

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return common | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant"} | _said(output, ""))
    for delta in split_tokens(output.text):
        yield chunk({key: delta})
    yield chunk({}, FINISH[output.reason])
    if with_usage:
        yield common | {"choices": [], "usage": _usage(output)}


def _usage(output: ModelOutput) -> dict[str, Any]:
    usage = output.usage
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["input_tokens_details"]["cached_tokens"]},
        "completion_tokens_details": usage["output_tokens_details"],
    }

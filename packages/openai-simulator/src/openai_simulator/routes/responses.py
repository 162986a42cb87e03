"""The endpoints of responses, with file search."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from openai_simulator.errors import ApiError, invalid, not_found
from openai_simulator.events import EventWriter
from openai_simulator.model_output import ModelOutput, produce_output
from openai_simulator.model_requests import CreateResponse, FileSearchTool, ToolChoice, question_of
from openai_simulator.objects import StoredResponse, make_id, timestamp
from openai_simulator.retrieval import CitedAnswer, answer, answer_from_prompt, search
from openai_simulator.routes.deps import FaultDep, ObjectId, SimulatorDep
from openai_simulator.simulator import Simulator
from openai_simulator.streaming import EventStream

router = APIRouter()
RESULTS = "file_search_call.results"


@router.post("/responses", name="responses.create")
async def create_response(
    request: Request, simulator: SimulatorDep, fault: FaultDep, asked: CreateResponse
) -> Response:
    _check(simulator, asked)
    answered, output = await _answer(simulator, asked)
    prompt = "\n".join([asked.prompt(), *(hit.text for hit in answered.hits)])
    model_output = produce_output(simulator, answered, prompt, fault, asked.max_output_tokens)
    body = _body(asked, model_output, output)
    if asked.background:
        return JSONResponse(_run_in_background(simulator, body))

    def keep() -> None:
        if asked.store is not False:
            simulator.state.responses.add(body["id"], StoredResponse(id=body["id"], body=body))

    if asked.stream:
        obfuscate = asked.stream_options is None or asked.stream_options.include_obfuscation
        events = EventWriter(obfuscate=obfuscate).events(body)
        return EventStream(simulator, request.scope, events, fault, on_finish=keep)
    keep()
    return JSONResponse(body)


@router.get("/responses/{response_id}", name="responses.retrieve")
async def retrieve_response(simulator: SimulatorDep, response_id: ObjectId) -> dict[str, Any]:
    return _stored(simulator, response_id).body


@router.delete("/responses/{response_id}", name="responses.delete")
async def delete_response(simulator: SimulatorDep, response_id: ObjectId) -> dict[str, Any]:
    simulator.state.responses.remove(_stored(simulator, response_id).id)
    return {"id": response_id, "object": "response", "deleted": True}


@router.post("/responses/{response_id}/cancel", name="responses.cancel")
async def cancel_response(simulator: SimulatorDep, response_id: ObjectId) -> dict[str, Any]:
    """Cancel a background response. One that has ended is returned unchanged."""
    stored = _stored(simulator, response_id)
    if not stored.body["background"]:
        raise invalid("Cannot cancel a synchronous response.", "response_id")
    if stored.body["status"] == "in_progress":
        stored.body["status"] = "cancelled"
        simulator.state.responses.save(stored.id, stored)
    return stored.body


def _stored(simulator: Simulator, response_id: str) -> StoredResponse:
    found = simulator.state.responses.get(response_id)
    if found is None:
        raise not_found("response", response_id, "response_id")
    return found


def _check(simulator: Simulator, asked: CreateResponse) -> None:
    """Check what the limits of single fields cannot express.

    Raises:
        ApiError: the model or the previous response is unknown, or parameters contradict each other.
    """
    simulator.model(asked.model)
    previous = asked.previous_response_id
    if previous is not None and simulator.state.responses.get(previous) is None:
        message = f"Previous response with id '{previous}' not found."
        raise ApiError(404, message, param="previous_response_id", code="previous_response_not_found")
    wanted = asked.tool_choice.type if isinstance(asked.tool_choice, ToolChoice) else None
    if wanted not in {None, "allowed_tools", *(tool.type for tool in asked.tools)}:
        raise invalid(f"Tool choice '{wanted}' not found in 'tools' parameter.", "tool_choice", "invalid_value")
    if asked.tool_choice == "required" and not asked.tools:
        raise invalid("Tool choice 'required' must be specified with 'tools'.", "tool_choice", "invalid_value")
    if asked.background and (asked.stream or asked.store is False):
        raise invalid("A background response is stored, and this simulator does not stream it.", "background")


async def _answer(simulator: Simulator, asked: CreateResponse) -> tuple[CitedAnswer, list[dict[str, Any]]]:
    """Return the answer and the file search calls that come before it in the output."""
    question = question_of(asked.items())
    tool = asked.file_search()
    if tool is None or asked.tool_choice == "none" or asked.max_tool_calls == 0:
        return answer_from_prompt(question), []
    hits = await _search(simulator, tool, question)
    results = [
        {"file_id": hit.file_id, "filename": hit.filename, "score": hit.score, "text": hit.text}
        | {"attributes": hit.attributes}
        for hit in hits
    ]
    number = simulator.behaviour.file_searches
    calls = [
        {
            "id": make_id("fs_"),
            "type": "file_search_call",
            "status": "completed",
            "queries": [question],
            "results": results[place::number] if RESULTS in (asked.include or ()) else None,
        }
        for place in range(number)
    ]
    return answer(question, hits), calls


async def _search(simulator: Simulator, tool: FileSearchTool, question: str) -> list[Any]:
    stores = [simulator.usable_store(store_id).id for store_id in tool.vector_store_ids]
    return search(
        await simulator.indexed(stores),
        [question],
        limit=tool.max_num_results,
        filters=tool.filters,
        threshold=tool.ranking_options.score_threshold,
    )


def _body(asked: CreateResponse, model_output: ModelOutput, output: list[dict[str, Any]]) -> dict[str, Any]:
    part = {"type": "output_text", "text": model_output.text, "annotations": model_output.annotations, "logprobs": []}
    if model_output.is_refusal:
        part = {"type": "refusal", "refusal": model_output.text}
    message = {"id": make_id("msg_"), "type": "message", "role": "assistant", "content": [part]}
    message["status"] = model_output.status
    echoed = asked.model_dump(
        include={
            *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "parallel_tool_calls"),
            *("previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "store", "temperature"),
            *("text", "tool_choice", "tools", "top_p", "truncation", "user", "background"),
        }
    )
    created = timestamp()
    return {
        "id": make_id("resp_"),
        "object": "response",
        "created_at": created,
        "completed_at": created if model_output.status == "completed" else None,
        "status": model_output.status,
        "error": model_output.error,
        "incomplete_details": {"reason": model_output.reason} if model_output.reason else None,
        **echoed,
        "metadata": asked.metadata or {},
        "service_tier": asked.service_tier or "default",
        "output": output if model_output.error else [*output, message],
        "usage": model_output.usage,
    }


def _run_in_background(simulator: Simulator, body: dict[str, Any]) -> dict[str, Any]:
    waiting = {**body, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    stored = StoredResponse(id=body["id"], body=waiting)
    simulator.state.responses.add(stored.id, stored)

    async def finish() -> None:
        await asyncio.sleep(simulator.behaviour.background_seconds)
        if stored.body["status"] == "in_progress":
            stored.body = body
            simulator.state.responses.save(stored.id, stored)

    simulator.spawn(finish())
    return waiting

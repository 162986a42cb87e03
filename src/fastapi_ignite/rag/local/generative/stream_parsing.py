"""The events of both APIs, heard into a generation. Servers differ in what they leave out."""

from __future__ import annotations

from openai import AsyncStream
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.llm.failures import failure_of
from fastapi_ignite.rag.llm.token_usage import reported, reported_of
from fastapi_ignite.rag.local.generative.generation import Generation


async def parse_response_stream(events: AsyncStream[ResponseStreamEvent], generation: Generation) -> None:
    """To its end, or until it is too long.

    Raises:
        ProviderError: the server says that it failed.
    """
    async for event in events:
        generation.heard = True
        if event.type == "response.output_text.delta":
            generation.say(event.delta)
        elif event.type == "response.refusal.delta":
            generation.decline(event.delta)
        elif event.type in {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}:
            generation.think(getattr(event, "delta", None))
        elif event.type == "response.completed" or event.type == "response.incomplete":  # noqa: PLR1714  types narrow
            _end(event.response, generation)
        elif event.type == "response.failed":
            generation.reported = reported_of(event.response)
            raise failure_of(event.response.error.code if event.response.error else None)
        elif event.type == "error":
            raise failure_of(event.code)
        if generation.is_full and not generation.ended:
            generation.stop()
            return


async def parse_chat_stream(chunks: AsyncStream[ChatCompletionChunk], generation: Generation) -> None:
    """To its end, or until it is too long. The figures come last, in a chunk without choices."""
    async for chunk in chunks:
        generation.heard = True
        if chunk.usage is not None:
            generation.reported = _figures(chunk.usage)
        for choice in chunk.choices or ():
            delta = choice.delta
            generation.say(delta.content)
            extra = delta.model_extra or {}
            generation.think(extra.get("reasoning_content") or extra.get("reasoning"))
            generation.decline(delta.refusal)
            if choice.finish_reason is not None:
                generation.end(truncated=choice.finish_reason == "length")
                generation.filtered = choice.finish_reason == "content_filter"
        if generation.is_full and not generation.ended:
            generation.stop()
            return


def _end(response: Response, generation: Generation) -> None:
    generation.reported = reported_of(response)
    if not generation.text:
        generation.say(response.output_text)
    reason = response.incomplete_details.reason if response.incomplete_details else None
    generation.filtered = reason == "content_filter"
    generation.end(truncated=response.status == "incomplete")


def _figures(spent: CompletionUsage) -> TokenUsage | None:
    return reported(
        tokens_in=spent.prompt_tokens,
        tokens_out=spent.completion_tokens,
        cached=spent.prompt_tokens_details and spent.prompt_tokens_details.cached_tokens,
        reasoning=spent.completion_tokens_details and spent.completion_tokens_details.reasoning_tokens,
    )

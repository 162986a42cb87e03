"""A streamed response as far as it came: when it is cut off, what was read and said until then is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from openai.types.responses import Response

from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.errors import (
    ContentFilteredError,
    ProviderError,
    ProviderRejectedError,
    ProviderTimeoutError,
)
from fastapi_ignite.rag.local.embedding import count_tokens

_POLICIES = frozenset({"bio_policy", "misalignment_policy_violation", "content_filter"})


class Transcript:
    """Of one response. `prompt` is what the model is given beside what it finds."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._read: list[str] = []
        self._said: list[str] = []
        self._response: Response | None = None

    def hear(self, event: object) -> None:
        """The next event, as it was sent.

        Raises:
            ProviderError: it is an error.
        """
        match event:
            case {"type": "response.created"}:
                self._read.append(self._prompt)
            case {"type": "response.output_item.done", "item": {"type": "file_search_call", "results": results}}:
                self._read += _texts(results)
            case {"type": "response.output_text.delta" | "response.refusal.delta", "delta": str(delta)}:
                self._said.append(delta)
            case {
                "type": "response.completed" | "response.incomplete" | "response.failed",
                "response": {**fields},
            }:
                self._response = Response.construct(**cast("dict[str, Any]", fields))
            case {"type": "error", **fields}:
                raise failure_of(fields.get("code"))

    def answer(self) -> Response:
        """The whole response, `completed` or cut at its longest.

        Raises:
            ProviderError: it ended in another way; HTTP 200 is no answer yet.
        """
        response = self._response
        if response is None:
            raise ProviderError("The provider's answer ended in its middle; nothing was charged.")
        reason = response.incomplete_details.reason if response.incomplete_details else None
        if reason == "content_filter":
            raise failure_of(reason)
        if response.status not in {"completed", "incomplete"}:
            raise failure_of(response.error.code if response.error else None)
        return response

    def count(self, usage: TokenUsage) -> None:
        """Add what the provider says it took; where it does not come to that, what we can tell from here."""
        spent = self._response.usage if self._response else None
        if spent is not None:
            usage.tokens_in += spent.input_tokens
            usage.tokens_out += spent.output_tokens
            usage.tokens_cached += (spent.input_tokens_details and spent.input_tokens_details.cached_tokens) or 0
            usage.tokens_reasoning += (
                spent.output_tokens_details and spent.output_tokens_details.reasoning_tokens
            ) or 0
        elif self._read:
            usage.tokens_in += sum(map(count_tokens, self._read))
            usage.tokens_out += count_tokens("".join(self._said))
            usage.estimated = True


def _texts(results: object) -> Iterator[str]:
    for result in results if isinstance(results, list) else ():
        if isinstance(result, Mapping) and isinstance(result.get("text"), str):
            yield result["text"]


def failure_of(code: object) -> ProviderError:
    """What a code inside an answer means; never one that says that nothing was spent."""
    if code in _POLICIES:
        return ContentFilteredError("The provider's content filter ended the answer; nothing was charged.")
    if code == "invalid_prompt":
        return ProviderRejectedError("The provider does not take this question; nothing was charged.")
    if code == "vector_store_timeout":
        return ProviderTimeoutError("The provider's search took too long; nothing was charged.")
    return ProviderError("The provider failed to answer; nothing was charged.")

"""A streamed response as far as it came: when it is cut off, what was read and said until then is known."""

from __future__ import annotations

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFileSearchToolCall,
    ResponseIncompleteEvent,
    ResponseOutputItemDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
)

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

    def hear(self, event: ResponseStreamEvent) -> None:
        """The next event.

        Raises:
            ProviderError: it is an error.
        """
        match event:
            case ResponseCreatedEvent():
                self._read.append(self._prompt)
            case ResponseOutputItemDoneEvent(item=ResponseFileSearchToolCall(results=results)):
                self._read += [result.text or "" for result in results or ()]
            case ResponseTextDeltaEvent(delta=delta) | ResponseRefusalDeltaEvent(delta=delta):
                self._said.append(delta)
            case ResponseCompletedEvent() | ResponseIncompleteEvent() | ResponseFailedEvent():
                self._response = event.response
            case ResponseErrorEvent(code=code):
                raise failure_of(code)

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


def failure_of(code: str | None) -> ProviderError:
    """What a code inside an answer means; never one that says that nothing was spent."""
    if code in _POLICIES:
        return ContentFilteredError("The provider's content filter ended the answer; nothing was charged.")
    if code == "invalid_prompt":
        return ProviderRejectedError("The provider does not take this question; nothing was charged.")
    if code == "vector_store_timeout":
        return ProviderTimeoutError("The provider's search took too long; nothing was charged.")
    return ProviderError("The provider failed to answer; nothing was charged.")

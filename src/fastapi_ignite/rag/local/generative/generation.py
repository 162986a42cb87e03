"""One call of a model that answers from numbered passages: what it has written, and how the call ended."""

from __future__ import annotations

from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response

from fastapi_ignite.rag.errors import ProviderError
from fastapi_ignite.rag.llm.failures import failure_of
from fastapi_ignite.rag.llm.streamed_answer import StreamedAnswer
from fastapi_ignite.rag.llm.token_usage import reported
from fastapi_ignite.rag.text.storable_text import storable

_THINKING, _THOUGHT = "<think>", "</think>"


class Generation(StreamedAnswer):
    """A streamed answer of which only the text counts, without what the model thinks aloud.

    `thinks_aloud` says that the model begins its answers with its thoughts, and does not mark where they begin.
    """

    def __init__(self, prompt: str, *, max_output_tokens: int) -> None:
        super().__init__(prompt, max_output_tokens=max_output_tokens)
        self.thinks_aloud = False
        self.ended = False
        self._truncated = False
        self._filtered = False

    @property
    def truncated(self) -> bool:
        """Return whether the model reached its longest answer, or the server sent more than that."""
        return self._truncated or self.is_full

    @property
    def text(self) -> str:
        """Return the answer as far as it has come. Where the model refuses, that is its refusal alone."""
        return _without_thoughts(self._written).strip()

    @property
    def refused(self) -> bool:
        """Return whether the model says that it will not answer."""
        return any(part.refusal for part in self.parts)

    @property
    def beginning(self) -> str:
        """Return what is certain to belong to the answer, while the model goes on."""
        return "" if self.thinks_aloud and not self.has_thought_aloud else self.text

    @property
    def has_thought_aloud(self) -> bool:
        """Return whether thoughts stand in the text, and are over."""
        return _THOUGHT in self._written

    @property
    def _written(self) -> str:
        parts = self.parts
        return storable("".join(part.text for part in [part for part in parts if part.refusal] or parts))

    def add_chunk(self, chunk: ChatCompletionChunk) -> None:
        """Add a chunk of the Chat Completions API. The usage comes last, in a chunk without choices."""
        self.started = True
        if usage := chunk.usage:
            self.reported = reported(
                tokens_in=usage.prompt_tokens,
                tokens_out=usage.completion_tokens,
                cached=usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens,
                reasoning=usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens,
            )
        for choice in chunk.choices or ():
            self.add_text(choice.delta.content)
            extra = choice.delta.model_extra or {}
            self.add_thought(extra.get("reasoning_content") or extra.get("reasoning"))
            self.add_text(choice.delta.refusal, refusal=True)
            if choice.finish_reason is not None:
                self.stop(truncated=choice.finish_reason == "length")
                self._filtered = choice.finish_reason == "content_filter"

    def end(self, response: Response) -> None:
        super().end(response)
        if not self.text:
            self.add_text(response.output_text)
        reason = response.incomplete_details.reason if response.incomplete_details else None
        self._filtered = reason == "content_filter"
        self.stop(truncated=response.status == "incomplete")

    def stop(self, *, truncated: bool) -> None:
        """Note that the answer is over, and whether it was cut."""
        self.ended = True
        self._truncated = truncated

    def require(self) -> None:
        """Check that the call, which has returned, gave an answer.

        Raises:
            ProviderError: it did not.
        """
        if self._filtered:
            raise failure_of("content_filter")
        if not self.ended:
            raise ProviderError("The model's answer ended in its middle; nothing was charged.")
        if not self.text and self.truncated:
            raise ProviderError("The model reached its longest answer before it said anything; nothing was charged.")
        if not self.text:
            raise ProviderError("The model said nothing; nothing was charged.")


def _without_thoughts(text: str) -> str:
    """Return the text behind the thoughts. Some servers leave them in the answer, some swallow the tag before them."""
    _, ended, after = text.rpartition(_THOUGHT)
    if ended:
        return after
    return "" if text.lstrip().startswith(_THINKING) else text

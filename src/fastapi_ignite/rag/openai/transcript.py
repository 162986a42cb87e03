"""A streamed response as far as it came: when it is cut off, what was read and said until then is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from fastapi_ignite.rag.storable import storable

_POLICIES = frozenset({"bio_policy", "misalignment_policy_violation", "content_filter"})


@dataclass(slots=True)
class Part:
    """Of what the model says: its words, and of its citations where the cited words end and the file's id."""

    words: list[str] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    refusal: bool = False

    @property
    def text(self) -> str:
        return "".join(self.words)


class Transcript:
    """Of one response. `prompt` is what the model is given beside what it finds.

    `parts` and `results` are what came so far, in its order; `results` as file search gave them to the model.
    """

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._heard = False
        self._parts: dict[tuple[object, object], Part] = {}
        self._response: Response | None = None
        self.results: list[Mapping[str, Any]] = []

    @property
    def parts(self) -> list[Part]:
        """As they are now."""
        return [Part([part.text], [*part.notes], part.refusal) for part in self._parts.values()]

    @property
    def citations(self) -> int:
        """How many came."""
        return sum(len(part.notes) for part in self._parts.values())

    def hear(self, event: object) -> None:
        """The next event, as it was sent.

        Raises:
            ProviderError: it is an error.
        """
        if not isinstance(event, Mapping):
            return
        match event:
            case {"type": "response.created"}:
                self._heard = True
            case {"type": "response.output_item.done", "item": {"type": "file_search_call", "results": results}}:
                self.results += [each for each in results or () if isinstance(each, Mapping)]
            case {"type": "response.output_text.delta" | "response.refusal.delta" as kind, "delta": str(delta)}:
                part = self._part(event)
                part.words.append(delta)
                part.refusal = kind == "response.refusal.delta"
            case {
                "type": "response.output_text.annotation.added",
                "annotation": {"type": "file_citation", "file_id": str(file_id), "index": int(index)},
            }:
                self._part(event).notes.append((index, file_id))
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
        elif self._heard:
            usage.tokens_in += count_tokens(self._prompt)
            usage.tokens_in += sum(count_tokens(storable(str(result.get("text") or ""))) for result in self.results)
            usage.tokens_out += count_tokens(storable("".join(part.text for part in self.parts)))
            usage.estimated = True

    def _part(self, event: Mapping[str, object]) -> Part:
        return self._parts.setdefault((event.get("output_index"), event.get("content_index")), Part())


def failure_of(code: object) -> ProviderError:
    """What a code inside an answer means; never one that says that nothing was spent."""
    if code in _POLICIES:
        return ContentFilteredError("The provider's content filter ended the answer; nothing was charged.")
    if code == "invalid_prompt":
        return ProviderRejectedError("The provider does not take this question; nothing was charged.")
    if code == "vector_store_timeout":
        return ProviderTimeoutError("The provider's search took too long; nothing was charged.")
    return ProviderError("The provider failed to answer; nothing was charged.")

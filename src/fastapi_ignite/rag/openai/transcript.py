"""A streamed response as far as it came: when it is cut off, what was read and said until then is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from openai.types.responses import Response

from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.errors import ProviderError
from fastapi_ignite.rag.llm.failures import failure_of
from fastapi_ignite.rag.llm.token_usage import CHARACTERS_A_TOKEN, reported_of
from fastapi_ignite.rag.text.storable_text import storable
from fastapi_ignite.rag.text.tokens import estimate_tokens


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

    `parts` and `results` are what came so far, in its order, `results` as file search gave them to the model; so many
    `citations` came. Beyond what `max_output_tokens` can hold nothing is kept, and the response counts as cut.
    """

    def __init__(self, prompt: str, *, max_output_tokens: int) -> None:
        self._prompt = prompt
        self._heard = False
        self._most_words = max_output_tokens * CHARACTERS_A_TOKEN
        self._most_citations = max_output_tokens
        self._words = 0
        self._said = ""
        self._parts: dict[tuple[object, object], Part] = {}
        self._response: Response | None = None
        self.results: list[Mapping[str, Any]] = []
        self.citations = 0

    @property
    def parts(self) -> list[Part]:
        """As they are now."""
        return [Part([part.text], [*part.notes], part.refusal) for part in self._parts.values()]

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
                self._say(self._part(event), delta)
                self._part(event).refusal = kind == "response.refusal.delta"
            case {
                "type": "response.output_text.annotation.added",
                "annotation": {"type": "file_citation", "file_id": str(file_id), "index": int(index)},
            }:
                if self.citations < self._most_citations:
                    self.citations += 1
                    self._part(event).notes.append((index, file_id))
            case {
                "type": "response.completed" | "response.incomplete" | "response.failed",
                "response": {**fields},
            }:
                self._end(cast("dict[str, Any]", fields))
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
        response = self._response
        figures = reported_of(response) if response else None
        if figures is not None:
            usage.add(figures)
        elif self._heard or response:
            read = [self._prompt, *(str(result.get("text") or "") for result in self.results)]
            said = [part.text for part in self.parts] or [self._said]
            usage.add(
                TokenUsage(
                    estimate_tokens(storable("\n".join(read))),
                    estimate_tokens(storable("\n".join(said))),
                    estimated=True,
                )
            )

    def _say(self, part: Part, words: str) -> None:
        kept = words[: self._most_words - self._words]
        if kept:
            part.words.append(kept)
            self._words += len(kept)

    def _end(self, fields: dict[str, Any]) -> None:
        """Kept as far as an answer may go, and made whole: servers other than OpenAI's leave parts of it out."""
        left = self._most_words
        for content in _contents(fields):
            for name in {"text", "refusal"} & content.keys():
                words = content[name] if isinstance(content[name], str) else ""
                content[name] = words[:left]
                self._said += content[name]
                if len(words) > left and fields.get("status") == "completed":
                    fields["status"] = "incomplete"
                left -= len(content[name])
            notes = content.get("annotations")
            content["annotations"] = notes[: self._most_citations] if isinstance(notes, list) else []
        self._response = Response.construct(**fields)

    def _part(self, event: Mapping[str, object]) -> Part:
        return self._parts.setdefault((event.get("output_index"), event.get("content_index")), Part())


def _contents(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What its messages are made of."""
    output = response.get("output")
    for item in output if isinstance(output, list) else ():
        match item:
            case {"type": "message", "content": [*contents]}:
                yield from (content for content in contents if isinstance(content, dict))

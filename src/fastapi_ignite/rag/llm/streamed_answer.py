"""Collects what a model server sends of one answer, for both engines and both of OpenAI's APIs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from openai.types.responses import Response

from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.llm.failures import failure_of
from fastapi_ignite.rag.llm.token_usage import CHARACTERS_A_TOKEN, reported_by
from fastapi_ignite.rag.text.storable_text import storable
from fastapi_ignite.rag.text.tokens import estimate_tokens

# What has come is looked at no more often: each look reads the whole answer again.
PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class Part:
    """One part of a message. Each citation is the offset where the cited words end, and the id of the cited file."""

    pieces: list[str] = field(default_factory=list)
    citations: list[tuple[int, str]] = field(default_factory=list)
    refusal: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class StreamedAnswer:
    """Collects the events of one answer. When the stream is cut off, it still has what was read and written.

    `prompt` is what the model is given beside the results of a file search. Of more text than `max_output_tokens` can
    hold nothing is kept, and `is_full` is set. `working` says that the server may have begun, so that the call costs.
    """

    def __init__(self, prompt: str, *, max_output_tokens: int) -> None:
        self.working = False
        self.started = False
        self.is_full = False
        self.reported: TokenUsage | None = None
        self.response: Response | None = None
        self.search_results: list[Mapping[str, Any]] = []
        self.citation_count = 0
        self._prompt = prompt
        self._max_citations = max_output_tokens
        self._max_characters = self._free = max_output_tokens * CHARACTERS_A_TOKEN
        self._parts: dict[object, Part] = {}
        self._thoughts: list[str] = []
        self._final_text = ""
        self._changed = asyncio.Event()

    @property
    def parts(self) -> list[Part]:
        """Return a copy of the parts as they are now."""
        return [Part([part.text], [*part.citations], part.refusal) for part in self._parts.values()]

    async def progress(self, work: Coroutine[Any, Any, object]) -> AsyncGenerator[None]:
        """Run the work that feeds this answer, and yield whenever more has come; what the work raises is raised here.

        Closing the generator cancels the work and waits for its end.
        """
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._changed.set())
        try:
            while not task.done():
                await self._changed.wait()
                self._changed.clear()
                if not task.done():
                    yield
                    await asyncio.wait((task,), timeout=PAUSE_SECONDS)
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))

    def add_event(self, event: object) -> None:
        """Add an event of the Responses API, in the form it was sent.

        Raises:
            ProviderError: the event says that the server failed.
        """
        self.started = True
        if not isinstance(event, Mapping):
            return
        match event:
            case {"type": "response.created"}:
                self.working = True
            case {"type": "response.output_item.done", "item": {"type": "file_search_call", "results": results}}:
                self.search_results += [each for each in results or () if isinstance(each, Mapping)]
                self._changed.set()
            case {"type": "response.output_text.delta" | "response.refusal.delta" as kind, "delta": delta}:
                place = (event.get("output_index"), event.get("content_index"))
                self.add_text(delta, place, refusal=kind == "response.refusal.delta")
            case {"type": "response.reasoning_text.delta" | "response.reasoning_summary_text.delta", "delta": delta}:
                self.add_thought(delta)
            case {
                "type": "response.output_text.annotation.added",
                "annotation": {"type": "file_citation", "file_id": str(file_id), "index": int(index)},
            } if self.citation_count < self._max_citations:
                place = (event.get("output_index"), event.get("content_index"))
                self._parts.setdefault((place, False), Part()).citations.append((index, file_id))
                self.citation_count += 1
                self._changed.set()
            case {"type": "response.completed" | "response.incomplete" as kind, "response": {**fields}}:
                self.end(self._whole(cast("dict[str, Any]", fields)))
            case {"type": "response.failed", "response": {**fields}}:
                failed = self._whole(cast("dict[str, Any]", fields))
                raise failure_of(failed.error.code if failed.error else None)
            case {"type": "error", **fields}:
                raise failure_of(fields.get("code"))

    def add_text(self, piece: object, place: object = None, *, refusal: bool = False) -> None:
        """Add a piece of the answer, or of why the model refuses. Servers also send empty pieces, and other things."""
        if kept := self._fitting(piece):
            self._parts.setdefault((place, refusal), Part(refusal=refusal)).pieces.append(kept)

    def add_thought(self, piece: object) -> None:
        """Add a piece of what the model thinks, which costs and is not shown."""
        if kept := self._fitting(piece):
            self._thoughts.append(kept)

    def end(self, response: Response) -> None:
        """Keep the whole response, which the server sends last."""
        self.response = response

    def charge(self, usage: TokenUsage) -> None:
        """Add what the server says that the answer cost; where it does not say so, add what we can count."""
        if self.reported is not None:
            usage.add(self.reported)
        elif self.working:
            read = [self._prompt, *(str(result.get("text") or "") for result in self.search_results)]
            written = [part.text for part in self._parts.values()] or [self._final_text]
            written.append("".join(self._thoughts))
            usage.add(TokenUsage(_estimate(read), _estimate(written), estimated=True))

    def _fitting(self, piece: object) -> str:
        """Return the beginning of a piece that still has room; one event may hold megabytes."""
        if not isinstance(piece, str):
            return ""
        kept = piece[: self._free]
        self._free -= len(kept)
        self.is_full = self.is_full or len(kept) < len(piece)
        if kept:
            self._changed.set()
        return kept

    def _whole(self, fields: dict[str, Any]) -> Response:
        """Return the response, cut to the longest answer, with the parts that servers other than OpenAI's leave out."""
        left = self._max_characters
        for content in _contents(fields):
            for name in {"text", "refusal"} & content.keys():
                text = content[name] if isinstance(content[name], str) else ""
                content[name] = text[:left]
                if len(text) > left and fields.get("status") == "completed":
                    fields["status"] = "incomplete"
                left -= len(content[name])
                self._final_text += content[name]
            citations = content.get("annotations")
            content["annotations"] = citations[: self._max_citations] if isinstance(citations, list) else []
        response = Response.construct(**fields)
        self.working = True
        self.reported = reported_by(response)
        return response


def _contents(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the messages of a response are made of."""
    output = response.get("output")
    for item in output if isinstance(output, list) else ():
        match item:
            case {"type": "message", "content": [*contents]}:
                yield from (content for content in contents if isinstance(content, dict))


def _estimate(texts: list[str]) -> int:
    return estimate_tokens(storable("\n".join(texts)))

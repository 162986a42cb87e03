"""Makes the events of a streamed response, in the documented order, from the finished response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openai_simulator.matching import split_tokens

Event = dict[str, Any]
PAD = 16


class EventWriter:
    """Makes the events of one stream and numbers them."""

    def __init__(self, *, obfuscate: bool) -> None:
        self._obfuscate = obfuscate
        self._number = 0

    def event(self, kind: str, **fields: Any) -> Event:
        made = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return made

    def events(self, body: Mapping[str, Any]) -> Iterator[Event]:
        """Yield the events of a response; `body` is what a call without streaming returns."""
        started = {**body, "status": "in_progress", "output": [], "usage": None, "error": None, "completed_at": None}
        started["incomplete_details"] = None
        yield self.event("response.created", response=started)
        yield self.event("response.in_progress", response=started)
        for index, item in enumerate(body["output"]):
            make = self._search_events if item["type"] == "file_search_call" else self._message_events
            yield from make(index, item)
        yield self.event(f"response.{body['status']}", response=body)

    def _search_events(self, index: int, item: Mapping[str, Any]) -> Iterator[Event]:
        place = {"item_id": item["id"], "output_index": index}
        waiting = {**item, "status": "in_progress", "queries": [], "results": None}
        yield self.event("response.output_item.added", output_index=index, item=waiting)
        for stage in ("in_progress", "searching", "completed"):
            yield self.event(f"response.file_search_call.{stage}", **place)
        yield self.event("response.output_item.done", output_index=index, item=item)

    def _message_events(self, index: int, item: Mapping[str, Any]) -> Iterator[Event]:
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        (part,) = item["content"]
        is_refusal = part["type"] == "refusal"
        empty = {"type": "refusal", "refusal": ""} if is_refusal else {**part, "text": "", "annotations": []}
        waiting = {**item, "status": "in_progress", "content": []}
        yield self.event("response.output_item.added", output_index=index, item=waiting)
        yield self.event("response.content_part.added", **place, part=empty)
        yield from self._refusal_events(place, part) if is_refusal else self._text_events(place, part)
        yield self.event("response.content_part.done", **place, part=part)
        yield self.event("response.output_item.done", output_index=index, item=item)

    def _text_events(self, place: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Event]:
        annotations = list(enumerate(part["annotations"]))
        length = 0
        for delta in split_tokens(part["text"]):
            length += len(delta)
            yield self._delta("response.output_text.delta", place, delta, logprobs=[])
            while annotations and annotations[0][1]["index"] <= length:
                number, annotation = annotations.pop(0)
                kind = "response.output_text.annotation.added"
                yield self.event(kind, **place, annotation_index=number, annotation=annotation)
        yield self.event("response.output_text.done", **place, text=part["text"], logprobs=[])

    def _refusal_events(self, place: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Event]:
        for delta in split_tokens(part["refusal"]):
            yield self._delta("response.refusal.delta", place, delta)
        yield self.event("response.refusal.done", **place, refusal=part["refusal"])

    def _delta(self, kind: str, place: Mapping[str, Any], delta: str, **fields: Any) -> Event:
        """Make a delta. It is padded so that the length of a packet does not tell the length of a word."""
        padding = {"obfuscation": "x" * (-len(delta) % PAD)} if self._obfuscate else {}
        return self.event(kind, **place, delta=delta, **fields, **padding)

"""Sends server-sent events, and counts, delays or breaks them on command."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from openai_simulator.faults import Fault, FaultKind
from openai_simulator.middleware import close, crash
from openai_simulator.simulator import Simulator

GARBAGE = "data: {not json\n\n"
DONE = "data: [DONE]\n\n"
BREAKS = frozenset({FaultKind.STREAM_BREAK, FaultKind.STREAM_STALL, FaultKind.STREAM_CRASH})
ERRORS = frozenset({FaultKind.STREAM_ERROR_EVENT, FaultKind.STREAM_ERROR_OBJECT})


class EventStream(StreamingResponse):
    """A stream of events. It counts as open until its last byte is sent or the client disconnects."""

    media_type = "text/event-stream"

    def __init__(
        self,
        simulator: Simulator,
        scope: Scope,
        events: Iterator[dict[str, Any]],
        fault: Fault | None,
        *,
        on_finish: Callable[[], None] | None = None,
        ends_with: str = "",
    ) -> None:
        super().__init__(self._body(events))
        self._simulator = simulator
        self._scope = scope
        self._fault = fault
        self._on_finish = on_finish
        self._ends_with = ends_with
        self._is_finished = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        journal = self._simulator.journal
        journal.streams_open += 1
        journal.streams["opened"] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            journal.streams_open -= 1
            journal.streams["finished" if self._is_finished else "abandoned"] += 1

    async def _body(self, events: Iterator[dict[str, Any]]) -> AsyncGenerator[str]:
        for number, event in enumerate(events):
            if self._fault is not None and number == self._fault.after_events:
                if self._fault.kind in ERRORS:
                    yield _written(_error(self._fault, number))
                    self._is_finished = True
                    return
                if self._fault.kind is FaultKind.STREAM_GARBAGE:
                    yield GARBAGE
                while self._fault.kind is FaultKind.STREAM_ENDLESS and not self._simulator.interrupted.is_set():
                    yield _written(event)
                    await self._simulator.pause(self._simulator.behaviour.delta_seconds)
                if self._fault.kind in BREAKS:
                    await self._interrupt(self._fault)
                    return
            yield _written(event)
            await self._simulator.pause(self._simulator.behaviour.delta_seconds)
        if self._on_finish is not None:
            self._on_finish()
        self._is_finished = True
        if self._ends_with:
            yield self._ends_with

    async def _interrupt(self, fault: Fault) -> None:
        """Crash, close or stall. This task is cancelled when the client disconnects."""
        if fault.kind is FaultKind.STREAM_CRASH:
            crash("inside a stream")
        if fault.kind is FaultKind.STREAM_BREAK:
            close(self._scope)
        await self._simulator.interrupted.wait()


def _written(event: dict[str, Any]) -> str:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event, ensure_ascii=False)}\n\n"


def _error(fault: Fault, number: int) -> dict[str, Any]:
    code, message = fault.code or "server_error", fault.message or "The server had an error."
    if fault.kind is FaultKind.STREAM_ERROR_EVENT:
        return {"type": "error", "sequence_number": number, "code": code, "message": message, "param": None}
    return {"error": {"type": "server_error", "code": code, "message": message, "param": None}}

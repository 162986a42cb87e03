"""Decides what the model says, including the faults that change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from openai_simulator.errors import invalid
from openai_simulator.faults import Fault, FaultKind
from openai_simulator.matching import count_tokens, cut_to_tokens
from openai_simulator.retrieval import CitedAnswer
from openai_simulator.simulator import Simulator

REFUSED = "I'm sorry, but I can't help with that."
FILTERED_TOKENS = 5
Reason = Literal["max_output_tokens", "content_filter"]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """Holds what the model says. `reason` is set if it is incomplete, `error` if the model failed."""

    text: str
    annotations: list[dict[str, Any]]
    usage: dict[str, Any]
    reason: Reason | None = None
    is_refusal: bool = False
    error: dict[str, Any] | None = None

    @property
    def status(self) -> Literal["completed", "incomplete", "failed"]:
        if self.error:
            return "failed"
        return "incomplete" if self.reason else "completed"


def produce_output(
    simulator: Simulator, answer: CitedAnswer, prompt: str, fault: Fault | None, limit: int | None
) -> ModelOutput:
    """Return the answer cut to `limit` tokens, changed by the fault if there is one."""
    kind = fault.kind if fault else None
    reason: Reason | None = None
    text = answer.text
    if fault is not None and (fault.text or kind is FaultKind.SCRIPTED):
        cited = tuple((hit, len(fault.text)) for hit, _ in answer.citations) if fault.cited else ()
        text, answer = fault.text, CitedAnswer(fault.text, cited, answer.hits)
    elif kind is FaultKind.REFUSAL:
        text = REFUSED
    elif kind is FaultKind.CONTENT_FILTER:
        text, reason = cut_to_tokens(text, FILTERED_TOKENS), "content_filter"
    elif fault is not None and kind is FaultKind.INCOMPLETE:
        said = max(1, count_tokens(text) // 2) if fault.tokens is None else fault.tokens
        text, reason = cut_to_tokens(text, said), "max_output_tokens"
    if limit is not None and count_tokens(text) > limit:
        text, reason = cut_to_tokens(text, limit), "max_output_tokens"
    error = None
    if fault is not None and kind is FaultKind.FAILED:
        message = fault.message or "The model produced an error."
        text, error = "", {"code": fault.code or "server_error", "message": message}
    return ModelOutput(
        text=text,
        annotations=[] if kind is FaultKind.REFUSAL else answer.annotations(len(text)),
        usage=_usage(simulator, prompt, text),
        reason=reason,
        is_refusal=kind is FaultKind.REFUSAL,
        error=error,
    )


def _usage(simulator: Simulator, prompt: str, text: str) -> dict[str, Any]:
    read = count_tokens(prompt)
    if read > simulator.behaviour.max_context_tokens:
        raise invalid("Your input exceeds the context window of this model.", "input", "context_length_exceeded")
    reasoning = simulator.behaviour.reasoning_tokens
    written = count_tokens(text) + reasoning
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": simulator.cached_tokens(prompt, read), "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": read + written,
    }

"""Settings of the simulator. They hold until they are changed, while a fault is used up."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=3600)]
PerMinute = Annotated[int, Field(ge=1, le=10**6)]
MODELS = (
    *("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano"),
    *("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5.1", "gpt-5.2", "o4-mini"),
    *("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"),
)


class Behaviour(BaseModel):
    """All settings. The defaults are the published limits, without any delay."""

    model_config = ConfigDict(extra="forbid")
    processing_seconds: Seconds = Field(0, description="An attached file is in_progress for this time.")
    latency_seconds: dict[str, Seconds] = Field({}, description="By route. Names may hold `*`; the first match counts.")
    delta_seconds: Seconds = Field(0, description="The time between two events of a stream.")
    background_seconds: Seconds = Field(0, description="A background response is in_progress for this time.")
    poll_after_ms: int | None = Field(None, ge=1, le=600_000, description="Sent as `openai-poll-after-ms`.")
    reasoning_tokens: int = Field(0, ge=0, le=10**6, description="Added to the output tokens of each response.")
    file_searches: int = Field(1, ge=1, le=5, description="Searches in a response; the results are spread over them.")
    api_key: str | None = Field(None, max_length=200, description="The only accepted key; by default every key is.")
    models: Annotated[tuple[str, ...], Field(max_length=100)] = MODELS
    max_file_bytes: int = Field(512 * 1024**2, ge=1, le=512 * 1024**2)
    max_file_tokens: int = Field(5_000_000, ge=1)
    max_context_tokens: int = Field(400_000, ge=1)
    max_store_files: int = Field(10_000, ge=1)
    attach_per_minute: PerMinute | None = Field(None, description="Calls, for each store; published: 300.")
    attached_files_per_minute: PerMinute | None = Field(None, description="Files, over all; published: 2000.")
    uploads_per_minute: PerMinute | None = Field(None, description="Published: 1000.")

    def latency(self, route: str) -> float:
        fitting = (seconds for pattern, seconds in self.latency_seconds.items() if fnmatchcase(route, pattern))
        return next(fitting, 0.0)

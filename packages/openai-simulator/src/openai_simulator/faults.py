"""Faults on command: which calls of which route fail, and how."""

from __future__ import annotations

import random
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from openai_simulator.errors import ApiError


class FaultKind(StrEnum):
    """The kinds of faults, by what happens to the call."""

    STATUS = "status"  # an error of the status given
    RESET = "reset"  # the connection is cut without an answer
    TIMEOUT = "timeout"  # no answer until the client gives up
    NO_ENDPOINT = "no_endpoint"  # HTTP 200 and an error, as some servers answer what they do not have
    CRASH = "crash"  # the simulator's process ends at once
    FAILED = "failed"  # HTTP 200, a response with status failed
    INCOMPLETE = "incomplete"  # HTTP 200, cut by max_output_tokens
    CONTENT_FILTER = "content_filter"  # HTTP 200, cut by the content filter
    REFUSAL = "refusal"  # HTTP 200, the model refuses
    SCRIPTED = "scripted"  # HTTP 200, the model says `text`
    STREAM_ERROR_EVENT = "stream_error_event"  # the typed `error` event, after `after_events`
    STREAM_ERROR_OBJECT = "stream_error_object"  # an event with a top-level `error`, after `after_events`
    STREAM_BREAK = "stream_break"  # the connection is cut inside the stream
    STREAM_STALL = "stream_stall"  # nothing more comes until the client gives up
    STREAM_CRASH = "stream_crash"  # the process ends inside the stream
    STREAM_ENDLESS = "stream_endless"  # the event after `after_events` comes again and again
    STREAM_GARBAGE = "stream_garbage"  # an event that is no JSON, after `after_events`
    STUCK = "stuck"  # the files attached stay in_progress
    FILE_FAILED = "file_failed"  # the files attached fail with `code`
    STORE_ID = "store_id"  # a batch answers its store's id


# faults that the endpoint itself produces; the middleware produces the others
ENDPOINT_FAULTS = frozenset(FaultKind) - {
    *(FaultKind.STATUS, FaultKind.RESET, FaultKind.TIMEOUT, FaultKind.NO_ENDPOINT, FaultKind.CRASH),
}

STATUSES: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_file", "The file could not be processed."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Country, region, or territory refused."),
    404: ("invalid_request_error", None, "The object was not found."),
    405: ("invalid_request_error", None, "The method is not allowed."),
    408: ("server_error", None, "Request timed out."),
    409: ("invalid_request_error", "conflict", "The object is being changed by another request."),
    413: ("invalid_request_error", None, "The body is too large."),
    415: ("invalid_request_error", None, "The media type is not supported."),
    422: ("invalid_request_error", None, "The request could not be processed."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error while processing your request."),
    501: ("server_error", None, "Not implemented."),
    502: ("server_error", None, "Bad gateway."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
    504: ("server_error", None, "Gateway timeout."),
}
QUOTA_MESSAGE = "You exceeded your current quota, please check your plan and billing details."


class Fault(BaseModel):
    """A fault of the next calls. With `when="after"` the call has its effect before it fails."""

    model_config = ConfigDict(extra="forbid")
    route: str = Field(min_length=1, max_length=64, description="A route's name; may hold `*`.")
    kind: FaultKind
    times: int = Field(1, ge=1, le=10**6)
    skip: int = Field(0, ge=0, le=10**6, description="Calls that pass first.")
    when: Literal["before", "after"] = "before"
    status: int = 500
    code: str | None = Field(None, max_length=64)
    message: str | None = Field(None, max_length=1000)
    retry_after: float | None = Field(None, ge=0, le=10**6, description="Seconds, sent as `Retry-After`.")
    should_retry: bool | None = Field(None, description="Sent as `x-should-retry`.")
    after_events: int = Field(3, ge=0, le=10**4)
    text: str = Field("", max_length=100_000, description="What the model says, if anything, before the rest happens.")
    cited: bool = Field(default=False, description="What a scripted model says cites what was found.")
    tokens: int | None = Field(None, ge=0, description="Said before an incomplete answer is cut; default half.")

    @model_validator(mode="after")
    def _known_status(self) -> Self:
        if self.status not in STATUSES:
            raise ValueError(f"status is one of {', '.join(map(str, STATUSES))}")
        return self

    def error(self) -> ApiError:
        """Return the error as the service words it."""
        kind, code, message = STATUSES[self.status]
        if self.code == "insufficient_quota":
            kind, message = "insufficient_quota", QUOTA_MESSAGE
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = f"{self.retry_after:g}"
        if self.should_retry is not None:
            headers["x-should-retry"] = str(self.should_retry).lower()
        return ApiError(self.status, self.message or message, kind=kind, code=self.code or code, headers=headers)


class FailureRate(BaseModel):
    """Makes a share of all calls fail. The seed and the order of the calls decide which ones."""

    model_config = ConfigDict(extra="forbid")
    rate: float = Field(ge=0, le=1)
    seed: int = 0
    faults: list[Fault] = Field(min_length=1, max_length=50, description="One of those that fit the route is drawn.")


class FaultTable:
    """The faults that wait for calls, oldest first. A call gets the first one that fits its route."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.pending: list[Fault] = []
        self.rate: FailureRate | None = None
        self._random = random.Random(0)  # noqa: S311  # a seed makes failures repeatable

    def add(self, fault: Fault) -> None:
        self.pending.append(fault.model_copy())

    def set_rate(self, rate: FailureRate) -> None:
        self.rate = rate
        self._random = random.Random(rate.seed)  # noqa: S311  # as above

    def take(self, route: str) -> Fault | None:
        """Return the fault of this call, or None, and count it as used."""
        for fault in self.pending:
            if not fnmatchcase(route, fault.route):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self.pending.remove(fault)
            return fault.model_copy()
        return self._drawn(route)

    def _drawn(self, route: str) -> Fault | None:
        if self.rate is None:
            return None
        fitting = [fault for fault in self.rate.faults if fnmatchcase(route, fault.route)]
        if not fitting or self._random.random() >= self.rate.rate:
            return None
        return self._random.choice(fitting)

"""The breaker in front of a provider, and our errors for its failures."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

import httpx2
import structlog
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    InternalServerError,
    PermissionDeniedError,
    RateLimitError,
)
from prometheus_client import Counter

from fastapi_ignite.infra.breaker import CircuitBreaker
from fastapi_ignite.rag.errors import (
    ContentFilteredError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StoreMissingError,
)

T = TypeVar("T")
# One failure is noise; this many in a row, with no answer between them, are an outage.
FAILURES_IN_A_ROW = 5
USUAL_WAIT, LONGEST_WAIT = 5, 3600
FAILURES = Counter("ignite_provider_failures_total", "Calls to the provider that failed", ["operation", "error"])
log = structlog.get_logger(__name__)

# nothing was sent
UNREACHED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_REFUSED = (AuthenticationError, PermissionDeniedError)
_OUTAGES = (APIConnectionError, InternalServerError, httpx2.TransportError, *_REFUSED)
_BY_STATUS: dict[int, type[ProviderError]] = {
    404: StoreMissingError,
    408: ProviderTimeoutError,
    409: ProviderError,
    503: ProviderUnavailableError,
    504: ProviderTimeoutError,
}
_BY_CODE: dict[str | None, tuple[type[ProviderError], str]] = {
    "vector_store_expired": (StoreMissingError, "The project's vector store has expired at the provider."),
    # a 404 like that of a store
    "model_not_found": (
        ProviderRejectedError,
        "The provider does not have the model that this service is set up with.",
    ),
}
# of a provider's content filter
_POLICIES = frozenset({"bio_policy", "misalignment_policy_violation", "content_filter"})


class NotTriedError(Exception):
    """The call failed, and this error has a cause; or it was not made, and there is no cause."""


class ProviderBreaker(CircuitBreaker):
    """A breaker that opens at once when the key is refused, and otherwise after several failures in a row."""

    unavailable: ClassVar[type[Exception]] = NotTriedError

    def __init__(self, *, timeout: float, retry_after: float) -> None:
        super().__init__(outages=_OUTAGES, timeout=timeout, retry_after=retry_after)
        self._in_a_row = 0

    async def call(self, operation: str, make: Callable[[], Awaitable[T]], *, seconds: float) -> T:
        """Return the call's result.

        Raises:
            ProviderError: the call failed, took longer than `seconds`, or was not made.
        """
        try:
            return await self.run(operation, make, timeout=seconds)
        except NotTriedError as refusal:
            raise _translate(refusal.__cause__, self._retry_after) from refusal.__cause__

    def _answered(self) -> None:
        self._in_a_row = 0
        super()._answered()

    def _open(self, operation: str, error: Exception) -> None:
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_IN_A_ROW or isinstance(error, _REFUSED):
            super()._open(operation, error)

    async def _bounded(self, call: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        """Use a plain timeout: beside many seconds, a lag of the event loop does not matter."""
        async with asyncio.timeout(seconds):
            return await call()

    def _failed(self, operation: str, error: Exception, *, outage: bool) -> None:
        del outage
        FAILURES.labels(operation, type(error).__name__).inc()
        log.warning(
            "provider call failed",
            operation=operation,
            error=type(error).__name__,
            provider_request_id=getattr(error, "request_id", None),
        )

    def _went_away(self, operation: str, error: Exception) -> None:
        log.error("provider away", operation=operation, error=type(error).__name__)

    def _recovered(self) -> None:
        log.info("provider back")


def _translate(error: BaseException | None, retry_after: float) -> ProviderError:
    """Return our error for a failure. It repeats no words of the provider, which may hold the question or the key."""
    if error is None:
        return ProviderUnavailableError(
            "The provider failed a moment ago and is not asked now.", headers={"Retry-After": f"{retry_after:.0f}"}
        )
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, APIStatusError):
        return _of_status(error)
    if isinstance(error.__cause__, UNREACHED):
        return ProviderUnavailableError("The provider could not be reached.")
    if isinstance(error, (APITimeoutError, TimeoutError, httpx2.TimeoutException)):
        return ProviderTimeoutError("The provider did not answer in time.")
    return ProviderError("The connection to the provider broke, or its answer is no answer.")


def _of_status(error: APIStatusError) -> ProviderError:
    if isinstance(error, _REFUSED):
        return ProviderAuthError("The provider refuses the key this service is set up with.")
    if isinstance(error, RateLimitError):
        if error.code == "insufficient_quota":
            return ProviderQuotaError("The account at the provider has no quota left.")
        return ProviderRateLimitedError(
            "The provider limits the rate of this service.", headers={"Retry-After": _wait_of(error)}
        )
    if error.code in _BY_CODE:
        meant, message = _BY_CODE[error.code]
        return meant(message)
    if known := _BY_STATUS.get(error.status_code):
        return known(f"The provider answered {error.status_code}.")
    kind = ProviderRejectedError if error.status_code < 500 else ProviderError  # noqa: PLR2004  server errors
    return kind(f"The provider answered {error.status_code}.")


def _wait_of(error: RateLimitError) -> str:
    """Return the wait that the provider names, in whole seconds. It may be absent or a fraction."""
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        seconds = USUAL_WAIT
    return str(math.ceil(min(seconds, LONGEST_WAIT) if seconds >= 0 else USUAL_WAIT))


def failure_of(code: object) -> ProviderError:
    """Return the error that a code inside an answer means; it never says that nothing was spent."""
    if code in _POLICIES:
        return ContentFilteredError("The provider's content filter ended the answer; nothing was charged.")
    if code == "invalid_prompt":
        return ProviderRejectedError("The provider does not take this question; nothing was charged.")
    if code == "vector_store_timeout":
        return ProviderTimeoutError("The provider's search took too long; nothing was charged.")
    return ProviderError("The provider failed to answer; nothing was charged.")

"""The errors of a provider. `retryable` tells a worker whether the same work may succeed later.

An error that is an `UnavailableError` is raised only where nothing was spent, so the Idempotency-Key is free again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from fastapi_ignite.core.errors import Example, IgniteError, UnavailableError


class ProviderError(IgniteError):
    """The provider did not do what was asked of it; something may have been spent."""

    status = 502
    code = "provider_failed"
    title = "The provider failed"
    example = Example("The provider failed to answer; nothing was charged.")
    retryable: ClassVar[bool] = True

    @property
    def wait(self) -> timedelta:
        """Return how long the provider asked us to wait before we try again."""
        return timedelta(seconds=int(self.headers.get("Retry-After", "0")))


class ProviderTimeoutError(ProviderError):
    """The provider did not answer in time; it may have done the work."""

    status = 504
    code = "provider_timeout"
    title = "The provider took too long"
    example = Example("The provider did not answer in time.")


class ProviderRejectedError(ProviderError):
    """The provider does not take this input, now or later."""

    code = "provider_rejected"
    title = "The provider refused the input"
    example = Example("The provider does not take this question; nothing was charged.")
    retryable: ClassVar[bool] = False


class ContentFilteredError(ProviderError):
    """The provider's content filter ended the answer."""

    code = "provider_content_filter"
    title = "The provider's content filter ended the answer"
    example = Example("The provider's content filter ended the answer; nothing was charged.")
    retryable: ClassVar[bool] = False


class ProviderUnavailableError(ProviderError, UnavailableError):
    """The provider is away, or was not asked because it was away a moment ago."""

    status = 503
    code = "provider_unavailable"
    title = "The provider is not available"
    example = Example("The provider could not be reached.")


class ProviderRateLimitedError(ProviderUnavailableError):
    """The account sends too many requests; `Retry-After` has the wait that the provider names."""

    code = "provider_rate_limited"
    title = "The provider limits the rate"
    example = Example("The provider limits the rate of this service.")


class ProviderQuotaError(ProviderUnavailableError):
    """The account has no money left at the provider."""

    code = "provider_quota"
    title = "The provider's quota is used up"
    example = Example("The account at the provider has no quota left.")
    retryable: ClassVar[bool] = False


class ProviderAuthError(ProviderUnavailableError):
    """The provider refuses our key, which is a fault of the installation and never of the caller."""

    status = 502
    code = "provider_auth"
    title = "The provider refuses the service's key"
    example = Example("The provider refuses the key this service is set up with.")
    retryable: ClassVar[bool] = False


class StoreMissingError(ProviderUnavailableError):
    """The project's vector store is gone at the provider, and is being rebuilt."""

    status = 409
    code = "store_missing"
    title = "The vector store is gone"
    example = Example("The project's vector store was gone at the provider and is being rebuilt; ask again later.")


class TextTooLargeError(ProviderRejectedError):
    """The text of the file is longer than the provider accepts."""

    code = "text_too_large"
    title = "The file holds too much text"


class StoreFullError(ProviderRejectedError):
    """The project's vector store holds as many files as the provider allows."""

    code = "store_full"
    title = "The vector store is full"


# A question may fail with any of these, a search with all but the content filter, making a store with all but two.
PROVIDER_ERRORS: tuple[type[ProviderError], ...] = (
    ProviderError,
    ProviderTimeoutError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ProviderRateLimitedError,
    ProviderQuotaError,
    ProviderAuthError,
    ContentFilteredError,
    StoreMissingError,
)
STORE_ERRORS = PROVIDER_ERRORS[:-2]
SEARCH_ERRORS = (*STORE_ERRORS, StoreMissingError)

"""What API keys refuse."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError, InvalidInputError, NotFoundError


class ApiKeyNotFoundError(NotFoundError):
    """Unknown, or another tenant's."""

    code = "api_key_not_found"
    title = "Unknown API key"


class ApiKeyEndedError(IgniteError):
    """Revoked or expired: it cannot be rotated."""

    status = 409
    code = "api_key_ended"
    title = "API key ended"


class TooManyApiKeysError(IgniteError):
    """The tenant has as many keys in force as one tenant may have."""

    status = 409
    code = "too_many_api_keys"
    title = "Too many API keys"


class ExpiryNotAheadError(InvalidInputError):
    """A key that would have expired already."""

    code = "expiry_not_ahead"
    title = "Expiry in the past"

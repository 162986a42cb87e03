"""Errors of the API keys."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, InvalidInputError, NotFoundError


class ApiKeyNotFoundError(NotFoundError):
    """The key is unknown, or belongs to another tenant."""

    code = "api_key_not_found"
    title = "Unknown API key"
    example = Example("No API key of this tenant has this id.")


class ApiKeyEndedError(IgniteError):
    """The key is revoked, expired or replaced, so it cannot be rotated."""

    status = 409
    code = "api_key_ended"
    title = "API key ended"
    example = Example("This key was revoked, expired or replaced. Create a new one.")


class TooManyApiKeysError(IgniteError):
    """The tenant has as many active keys as allowed."""

    status = 409
    code = "too_many_api_keys"
    title = "Too many API keys"
    example = Example("The tenant has 100 active keys. Revoke one first.", limit=100)


class ExpiryNotAheadError(InvalidInputError):
    """The expiry of the new key is in the past."""

    code = "expiry_not_ahead"
    title = "Expiry in the past"
    example = Example("expires_at is in the past.")
